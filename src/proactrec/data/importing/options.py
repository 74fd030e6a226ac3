"""What may be said about somebody's logs; what is left out is guessed."""

from typing import Literal

from pydantic import Field

from proactrec.config import Options

TimeUnit = Literal["auto", "s", "ms", "us", "ns", "iso", "order"]


class EventColumns(Options):
    """Which columns of the event files mean what."""

    user: str | None = Field(None, description="user ids")
    item: str | None = Field(None, description="item ids")
    time: str | None = Field(None, description="times; '' where the rows are in time order")
    event_type: str | None = Field(None, description="kinds of events (view, purchase, …)")


class ItemColumns(Options):
    """Which columns of the item files mean what."""

    item: str | None = Field(None, description="item ids, as in the events")
    title: str | None = Field(None, description="titles; '' for none")
    categories: tuple[str, ...] | None = Field(None, description="categories, one column or more")
    text: tuple[str, ...] | None = Field(None, description="further text: descriptions, plots, …")


class TimeOptions(Options):
    """How times are written."""

    unit: TimeUnit = Field("auto", description="unit of numbers, iso for texts, order for ranks")
    format: str | None = Field(None, description="of texts, as in strptime: %d/%m/%Y %H:%M")
    zone: str = Field("UTC", description="of times that name no zone: Europe/Berlin")


class FileOptions(Options):
    """How text files are written."""

    separator: str | None = Field(
        None, min_length=1, max_length=1, description="between columns; guessed from the header"
    )
    encoding: str = Field("utf-8", description="of text files: utf-8, latin-1, gb18030, utf-16, …")
    has_header: bool = Field(True, description="else the columns are column_1, column_2, …")


class ImportOptions(Options):
    """Everything that decides what an import writes."""

    events: tuple[str, ...] = Field(min_length=1, description="files, folders or patterns (*.csv)")
    items: tuple[str, ...] = Field((), description="files, folders or patterns")
    columns: EventColumns = EventColumns()
    item_columns: ItemColumns = ItemColumns()
    files: FileOptions = FileOptions()
    time: TimeOptions = TimeOptions()
    category_separator: str | None = Field(None, description="guessed from the values if not given")
    weights: dict[str, float] = Field(
        {}, description="weight of a kind of event; with any given, kinds that are not count 0"
    )
    min_weight: float = Field(
        0, ge=0, description="a user and an item belong together from this summed weight on"
    )
    session_minutes: float = Field(30, gt=0, description="a longer pause begins a new session")
    bots: Literal["flag", "drop"] = Field("flag", description="what is done with suspected bots")
    bot_minute: int = Field(100, ge=2, description="suspect from so many events within a minute")
    bot_day: int = Field(2000, ge=2, description="suspect from so many events within 24 hours")
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="more unusable rows than this end the import"
    )
