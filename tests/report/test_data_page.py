"""The data report of an import: which column of which files was taken for what, and why."""

import re
from pathlib import Path

from proactrec.data.importing.importer import Import
from proactrec.data.importing.options import ImportOptions
from proactrec.report.data_page import render


def test_the_item_columns_of_events_and_of_item_files_are_told_apart(tmp_path: Path) -> None:
    events, items = tmp_path / "events.csv", tmp_path / "items.csv"
    events.write_text("user,item,time\nu1,a,1700000000\nu1,b,1700000001\nu2,a,1700000002\n")
    items.write_text("item,title\na,A\nb,B\n")
    with Import(ImportOptions(events=(str(events),), items=(str(items),)), tmp_path / "out") as job:
        page = render(job.run())
    rows = re.findall(r'<th scope="row">(item[^<]*)</th><td>item</td><td>([^<]*)</td>', page)
    assert rows == [
        ("item", "by its name"),
        ("item, in the item files", "the same name as in the events"),
    ]
