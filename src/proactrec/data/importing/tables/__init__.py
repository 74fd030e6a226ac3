"""One way to read CSV, TSV, JSON Lines and Parquet of any size: batches of wanted columns."""

from pathlib import Path

from proactrec.data.importing import files
from proactrec.data.importing.options import FileOptions
from proactrec.data.importing.tables.base import Table
from proactrec.data.importing.tables.json_lines import JsonLinesTable
from proactrec.data.importing.tables.parquet import ParquetTable
from proactrec.data.importing.tables.text import TextTable


def open_table(path: Path, options: FileOptions, folder: Path) -> Table:
    """The table in a file; unpacked or recoded text goes into `folder`.

    Raises
    ------
    DataError
        If the file is empty, damaged, of another encoding, or has no usable header.
    """
    kind = files.kind_of(path)
    if kind == "parquet":
        return ParquetTable(path)
    plain = files.plain(path, options.encoding, folder)
    if kind == "jsonl":
        return JsonLinesTable(path, plain)
    return TextTable(path, plain, options)
