import re

from proactrec.report import plots
from proactrec.report.drawing import mpl, save_figure, svg


def test_svg_points_nowhere_and_ids_differ_between_figures(log, trace):
    heat_map = plots.journey_heat_map(trace["vectors"][0], trace["target_vectors"][0])
    texts = [svg(figure) for figure in (plots.interest_plot(log), plots.rank_plot(log), heat_map)]
    ids = [identity for text in texts for identity in re.findall(r' id="([^"]+)"', text)]
    assert ids
    assert len(ids) == len(set(ids))
    for text in texts:
        used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)
        assert {one or other for one, other in used} <= set(ids)
        assert "http" not in text


def test_svg_is_the_same_every_time(log):
    assert svg(plots.rank_plot(log)) == svg(plots.rank_plot(log))


def test_titles_are_text_not_formulas_or_tags(log):
    figure = plots.target_plot(log, {5: "$x^$ <script>", 6: "映画\x00 だ"})
    text = svg(figure)
    assert "$x^$ &lt;script&gt;" in text
    assert "映画  だ" in text


def test_png_is_written(log, tmp_path):
    save_figure(plots.rank_plot(log), tmp_path / "rank.png")
    assert (tmp_path / "rank.png").read_bytes().startswith(b"\x89PNG")


def test_our_style_does_not_leak(log):
    before = mpl.rcParams["svg.fonttype"]
    svg(plots.rank_plot(log))
    assert mpl.rcParams["svg.fonttype"] == before
