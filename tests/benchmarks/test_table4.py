"""Pages of benchmarks: no two of their sections are called the same."""


def test_a_place_that_is_told_of_again_names_what_is_new() -> None:
    from table4 import heading

    taken: dict[str, set[str]] = {}
    assert heading("ml-100k, common, flat", ["IPG", "Foresight"], taken) == "ml-100k, common, flat"
    again = heading("ml-100k, common, flat", ["Foresight", "one view"], taken)
    assert again == "ml-100k, common, flat: one view"
    assert heading("ml-100k, common, steep", ["IPG"], taken) == "ml-100k, common, steep"
