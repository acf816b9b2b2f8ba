"""Charts, number formats and Markdown, without a database."""

import math

import pytest

from components import charts, markdown
from components.templatetags import values


def test_a_chart_keeps_its_points_inside_and_in_order() -> None:
    chart = charts.metric_chart("auc", [(3, 0.9), (1, 0.7), (2, 0.8)], {2: ["Production"]})
    assert chart is not None
    assert [point.number for point in chart.points] == [1, 2, 3]
    xs, ys = [point.x for point in chart.points], [point.y for point in chart.points]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert all(charts.TOP <= y <= charts.BOTTOM for y in ys)
    assert len(chart.lines) == 2
    (mark,) = chart.marks
    assert (mark.number, mark.names, mark.x) == (2, "Production", xs[1])
    assert chart.summary == ("auc from 0.7 in version 1 to 0.9 in version 3. Version 2 holds Production with 0.8.")


def test_what_is_not_finite_is_named_not_drawn() -> None:
    chart = charts.metric_chart("m", [(1, 1.0), (2, "NaN"), (3, "Infinity"), (4, 2), (5, None), (6, 1e308)], {})
    assert chart is not None
    assert [point.number for point in chart.points] == [1, 4]
    assert chart.unplotted == [2, 3, 6]


@pytest.mark.parametrize("points", [[], [(1, 0.5)], [(1, "NaN"), (2, 1.0)]])
def test_one_point_is_not_a_picture(points: list[tuple[int, object]]) -> None:
    assert charts.metric_chart("m", points, {}) is None


@pytest.mark.parametrize(
    "pair",
    [
        (0.0, 0.0),
        (5.0, 5.0),
        (-3.0, 4.0),
        (1e-9, 2e-9),
        (1e299, -1e299),
        (0.1, 0.1 + 1e-16),
        (0.0, 1e-320),
        (1e15, 1e15 + 1),
    ],
)
def test_every_range_gets_a_scale_that_encloses_it(pair: tuple[float, float]) -> None:
    chart = charts.metric_chart("m", enumerate(pair, 1), {})
    assert chart is not None
    assert 2 <= len(chart.grid) <= 7
    assert chart.grid[0].y == charts.BOTTOM
    assert chart.grid[-1].y == charts.TOP
    for point in chart.points:
        assert math.isfinite(point.y)
        assert charts.TOP - 0.01 <= point.y <= charts.BOTTOM + 0.01


def test_many_versions_share_few_labels_and_the_newest_has_one() -> None:
    chart = charts.metric_chart("m", [(number, number) for number in range(1, 61)], {})
    assert chart is not None
    labelled = [point.number for point in chart.points if point.is_labelled]
    assert len(labelled) <= charts.MOST_LABELS
    assert labelled[-1] == 60


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.912345678, "0.9123"),
        (1.0, "1"),
        (0, "0"),
        (-0.5, "−0.5"),
        (12345678, "12,345,678"),
        (1234.56, "1,234.6"),
        (3.2e-9, "3.2e-9"),
        (1e20, "1e20"),
        ("NaN", "NaN"),
        ("Infinity", "∞"),
        ("-Infinity", "−∞"),
        (None, ""),
    ],
)
def test_numbers_are_written_for_people(value: object, written: str) -> None:
    assert values.number(value) == written


def test_differences_carry_their_sign() -> None:
    assert [values.signed(value) for value in (0.01, -0.01, 0.0, None)] == ["+0.01", "−0.01", "±0", ""]
    assert [values.percent(value) for value in (0.014, -0.5, 0.0001, 0.0, None)] == [
        "+1.4 %",
        "−50.0 %",
        "+<0.1 %",
        "",
        "",
    ]


def test_markdown_keeps_text_tables_and_links() -> None:
    html = markdown.render("# Title\n\n**bold** `code` [x](https://example.com)\n\n|a|b|\n|-|-|\n|1|2|\n")
    assert "<h3>Title</h3>" in html
    assert "<strong>bold</strong>" in html
    assert '<a href="https://example.com" rel="noopener noreferrer nofollow">x</a>' in html
    assert "<td>1</td>" in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](javascript:alert(1))",
        "<a href='x' style='color:red' onclick='x'>y</a>",
        "<iframe src='https://example.com'></iframe>",
        "[x](<java\nscript:alert(1)>)",
        "```<script>\nalert(1)\n```",
    ],
)
def test_markdown_lets_nothing_run(text: str) -> None:
    html = markdown.render(text).lower()
    for bad in ("<script", "<img", "<iframe", "<a href='x'", 'href="javascript', 'href="data', "<a onclick"):
        assert bad not in html


def test_images_become_links_that_do_not_load() -> None:
    html = markdown.render("![a curve](https://example.com/x.png)")
    assert "<img" not in html
    assert ">a curve</a>" in html


def test_text_beyond_all_measure_is_shown_as_it_is() -> None:
    html = markdown.render("<b>" + "*" * 30_000)
    assert html.startswith("<pre>&lt;b&gt;")


def test_headings_of_a_description_begin_under_the_pages_own() -> None:
    assert "<h3>A</h3>" in markdown.render("## A\n\n### B")
    assert "<h4>B</h4>" in markdown.render("## A\n\n### B")
