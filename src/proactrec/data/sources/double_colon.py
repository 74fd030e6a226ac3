"""Tables whose columns are separated by `::`, as MovieLens and MovieTweetings have them."""

from pathlib import Path

import polars as pl

from proactrec.data.sources.files import raise_bad_values, read_text


def read_double_colon(
    path: Path, names: list[str], *, free: str, encoding: str = "utf-8-sig"
) -> pl.DataFrame:
    """Rows of a file without a header, every value as text and empty fields as null.

    Parameters
    ----------
    path : Path
    names : list of str
        Column names, in order.
    free : str
        The column that may hold `::` itself, e.g. a title.
    encoding : str

    Raises
    ------
    DataError, InvalidInputError
        As :func:`proactrec.data.sources.files.read_text`; also if a line has too few columns.
    """
    lines = pl.Series("line", read_text(path, encoding=encoding).split("\n"))
    n_before = names.index(free)
    groups = ["(.*?)"] * n_before + ["(.*)"] * (len(names) - n_before)
    pattern = f"^{'::'.join(groups)}$"
    columns = {name: lines.str.extract(pattern, n) for n, name in enumerate(names, start=1)}
    shape = f"must have the form {'::'.join(names)}"
    raise_bad_values(lines, columns[names[0]].is_null(), shape, path)
    return pl.DataFrame({name: column.replace("", None) for name, column in columns.items()})
