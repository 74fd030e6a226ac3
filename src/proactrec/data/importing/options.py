"""What may be said about somebody's logs; what is left out is guessed."""

from typing import Literal, Self

from pydantic import Field, model_validator

from proactrec.config import Options
from proactrec.data.ids import check_apart
from proactrec.errors import InvalidInputError

TimeUnit = Literal["auto", "s", "ms", "us", "ns", "iso", "order"]


class EventColumns(Options):
    """Which columns of the event files mean what."""

    user: str | None = Field(None, description="column of user ids; guessed if not given")
    item: str | None = Field(None, description="column of item ids; guessed if not given")
    time: str | None = Field(
        None, description="column of times; guessed if not given, '' if the rows are in time order"
    )
    event_type: str | None = Field(
        None, description="column of kinds of events (view, purchase, …); '' for none"
    )

    @model_validator(mode="after")
    def _differ(self) -> Self:
        check_apart(self.user, self.item, self.time)
        return self


class ItemColumns(Options):
    """Which columns of the item files mean what."""

    item: str | None = Field(None, description="column of item ids in the item files")
    title: str | None = Field(None, description="column of titles; '' for none")
    categories: tuple[str, ...] | None = Field(
        None, description="column of categories, or several; '' for none"
    )
    levels: tuple[str, ...] | None = Field(
        None,
        description="columns of a category and of those in it, outermost first; guessed if not "
        "given, '' for none",
    )
    text: tuple[str, ...] | None = Field(
        None, description="column of further text (descriptions, plots, …), or several; '' for none"
    )


class TimeOptions(Options):
    """How times are written."""

    unit: TimeUnit = Field(
        "auto", description="unit of times that are numbers; iso for texts, order for ranks"
    )
    format: str | None = Field(
        None, description="how times are written, as in strptime: '%d/%m/%Y %H:%M'"
    )
    zone: str = Field("UTC", description="zone of times that name none, e.g. Europe/Berlin")


class FileOptions(Options):
    """How text files are written."""

    separator: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="what stands between columns of text files; guessed from the header",
    )
    encoding: str = Field(
        "utf-8", description="encoding of text files: utf-8, latin-1, gb18030, utf-16, …"
    )
    has_header: bool = Field(
        True,
        description="whether the first line of text files names the columns; if not, they are "
        "column_1, column_2, …",
    )

    @model_validator(mode="after")
    def _separates(self) -> Self:
        if self.separator and (not self.separator.isascii() or self.separator in '"\r\n\0'):
            raise InvalidInputError(
                "separator must be one ASCII character that is no quote and no line end, "
                f"got {self.separator!r}"
            )
        return self


class ImportOptions(Options):
    """Everything that decides what an import writes."""

    events: tuple[str, ...] = Field(
        min_length=1,
        description="event files, folders or patterns: CSV, TSV, JSONL, Parquet (.gz too)",
    )
    items: tuple[str, ...] = Field((), description="item files, folders or patterns")
    columns: EventColumns = EventColumns()
    item_columns: ItemColumns = ItemColumns()
    files: FileOptions = FileOptions()
    time: TimeOptions = TimeOptions()
    category_separator: str | None = Field(
        None, description="what stands between two categories; guessed if not given"
    )
    level_separator: str | None = Field(
        None,
        description="what stands between a category and one that lies in it, e.g. `/`; guessed if "
        "not given, '' if none lies in another",
    )
    weights: dict[str, float] = Field(
        {}, description="weight of a kind of event; with any given, kinds that are not count 0"
    )
    min_weight: float = Field(
        0, ge=0, description="least summed weight of a user and an item that counts"
    )
    session_minutes: float = Field(
        30, gt=0, le=10_000_000, description="minutes; a longer pause begins a new session"
    )
    bots: Literal["flag", "drop"] = Field(
        "flag", description="what is done with users of impossible rates"
    )
    bot_minute: int = Field(
        100, ge=2, le=10**9, description="impossible: so many events within a minute"
    )
    bot_day: int = Field(
        2000, ge=2, le=10**9, description="impossible: so many events within 24 hours"
    )
    max_bad_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of unusable rows that ends the import; fewer are counted and left out",
    )
