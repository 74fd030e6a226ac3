"""One way to read CSV, TSV, JSON Lines and Parquet of any size: batches of wanted columns."""

from pathlib import Path

from proactrec.data.importing import files
from proactrec.data.importing.files import InputFile
from proactrec.data.importing.options import FileOptions
from proactrec.data.importing.tables.base import Table
from proactrec.data.importing.tables.json_lines import JsonLinesTable
from proactrec.data.importing.tables.parquet import ParquetTable
from proactrec.data.importing.tables.text import TextTable


def open_table(source: InputFile, options: FileOptions, folder: Path) -> Table:
    """The table in a file; unpacked or recoded text goes into `folder`.

    Raises
    ------
    DataError
        If the file is empty, damaged, of another encoding, or has no usable header.
    """
    if source.kind == "parquet":
        return ParquetTable(source.path)
    plain = files.plain(source.path, options.encoding, folder)
    if source.kind == "jsonl":
        return JsonLinesTable(source.path, plain)
    return TextTable(source.path, plain, options)
