"""The items that a model or a data set knows, by inside index: what they are called and are."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.trees import ends, lowest, spelled, with_ancestors
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.rng import keys_of
from proactrec.types import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class Items:
    """Items in the order of their inside indices, which count from 1.

    Parameters
    ----------
    name : str
        Of the data set that they are from.
    item_ids, titles : sequences of length n_items
    categories : sequence of length n_items
        Names of every item's categories: paths, see :mod:`proactrec.data.trees`. An item is in
        what they lie in as well.
    train_counts : int array, shape (n_items + 1,)
        Users who had the item when models were fitted; 0 for padding and for later ones.
    texts : sequence of length n_items, or empty
        Further text.
    """

    name: str
    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    train_counts: IntArray
    texts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def is_cold(self) -> BoolArray:
        """Whether nothing was learnt of an item from interactions: (n_items,)."""
        is_cold: BoolArray = self.train_counts[1:] == 0
        return is_cold

    @cached_property
    def key(self) -> IntArray:
        """Hashed ids (n_items + 1,), by which guidance draws; 0 for padding."""
        return np.concatenate([np.zeros(1, np.int64), keys_of(self.item_ids)])

    @cached_property
    def index(self) -> dict[str, int]:
        """Inside index of every id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids, start=1)}

    @cached_property
    def category_sizes(self) -> dict[str, int]:
        """Number of items of every category and of those it lies in: the largest first, then by
        name.
        """
        sizes = Counter(name for names in self.categories for name in with_ancestors(names))
        return dict(sorted(sizes.items(), key=lambda size: (-size[1], size[0])))

    @property
    def category_names(self) -> tuple[str, ...]:
        """Every category that an item is in, in the order of :attr:`category_sizes`."""
        return tuple(self.category_sizes)

    def title_of(self, item_id: str) -> str:
        """What an item is called: by its id, if it is none of these."""
        row = self.index.get(item_id, 0)
        return self.titles[row - 1] if row else item_id

    @cached_property
    def _by_folded_name(self) -> dict[str, IntArray]:
        """Items of every category, ascending."""
        found: dict[str, list[int]] = {}
        for row, names in enumerate(self.categories, start=1):
            for name in {name.casefold() for name in with_ancestors(names)}:
                found.setdefault(name, []).append(row)
        return {name: np.array(rows, dtype=np.int64) for name, rows in found.items()}

    @cached_property
    def _by_end(self) -> dict[str, list[str]]:
        """Categories, folded, by the shorter names that they have."""
        found: dict[str, list[str]] = {}
        for path in self._by_folded_name:
            for end in ends(path):
                found.setdefault(end, []).append(path)
        return found

    @cached_property
    def _spelling(self) -> dict[str, str]:
        """Every category by its folded name; of several spellings the one of most items."""
        return {name.casefold(): name for name in reversed(self.category_names)}

    def places_of(self, *categories: str) -> tuple[str, ...]:
        """All categories that names may mean; none for a name that no category has.

        A whole path means itself alone. An end of one (``Knives``, ``Kitchen > Knives``) means
        every path that ends so. Case, and blanks around arrows, make no difference.
        """
        return tuple(path for name in categories for path in self._meant(name))

    def _meant(self, category: str) -> list[str]:
        for name in (category.casefold(), spelled(category).casefold()):
            if name in self._by_folded_name:
                return [self._spelling[name]]
            if name in self._by_end:
                return sorted(self._spelling[path] for path in self._by_end[name])
        return []

    def category(self, category: str) -> str:
        """The category of a name, as :meth:`places_of` understands it: its whole path.

        Raises
        ------
        UnknownIdError
            If no item is in such a category.
        InvalidInputError
            If it stands at several places of the tree.
        """
        found = self.places_of(category)
        if not found:
            raise UnknownIdError(
                f"category {category!r} does not exist in {self.name}; "
                f"there are {', '.join(self.category_names[:20]) or 'none'}"
            )
        if len(found) > 1:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise InvalidInputError(
                f"category {category!r} must be named by its whole path, as it is at "
                f"{len(found)} places of {self.name}: {', '.join(map(repr, found[:3]))}{more}"
            )
        return found[0]

    def of_category(self, category: str) -> IntArray:
        """Items in a category, ascending; for its name see :meth:`category`, which raises."""
        return self._by_folded_name[self.category(category).casefold()].copy()

    def extended(self, catalogue: Catalogue) -> "Items":
        """As a catalogue says them: known items by its titles and categories, where it has any, and
        after them those that are not known yet.
        """
        table = catalogue.table
        said = dict(zip(table["item_id"], table.select("title", "categories").rows(), strict=True))
        told = [said.get(item_id, ("", [])) for item_id in self.item_ids]
        known = [title or own for (title, _), own in zip(told, self.titles, strict=True)]
        carried = [
            lowest(names) or own for (_, names), own in zip(told, self.categories, strict=True)
        ]
        later = table.filter(~pl.col("item_id").is_in(self.item_ids))
        text = later["text"] if "text" in later.columns else pl.Series([""] * later.height)
        titles = later.select(pl.coalesce(pl.col("title").replace("", None), "item_id"))["title"]
        return Items(
            self.name,
            (*self.item_ids, *later["item_id"]),
            (*known, *titles),
            (*carried, *map(lowest, later["categories"].to_list())),
            np.concatenate([self.train_counts, np.zeros(later.height, np.int64)]),
            (*self.texts, *text) if self.texts else (),
        )

    def are_in(self, item_idx: Iterable[int], categories: Iterable[str]) -> bool:
        """Whether any of some items is in any of these categories, named by whole paths."""
        asked = {name.casefold() for name in categories}
        told = (name for item in item_idx for name in with_ancestors(self.categories[item - 1]))
        return any(name.casefold() in asked for name in told)

    def save(self, path: Path) -> None:
        """Write a table (Parquet) with a row an item."""
        lists = pl.Series([list(names) for names in self.categories], dtype=pl.List(pl.String))
        columns = {
            "item_id": self.item_ids,
            "title": self.titles,
            "categories": lists,
            "n_users": self.train_counts[1:],
        }
        texts = {"text": self.texts} if self.texts else {}
        pl.DataFrame({**columns, **texts}).write_parquet(path)

    @classmethod
    def load(cls, path: Path, name: str) -> "Items":
        """Read what :meth:`save` wrote."""
        table = pl.read_parquet(path, glob=False)
        return cls(
            name,
            tuple(table["item_id"]),
            tuple(table["title"]),
            tuple(map(tuple, table["categories"].to_list())),
            np.concatenate([np.zeros(1, np.int64), table["n_users"].to_numpy()]),
            tuple(table["text"]) if "text" in table.columns else (),
        )

    def carry(self, categories: Sequence[str]) -> BoolArray:
        """Whether an item is in any of these, see :meth:`of_category`: (n_items + 1,)."""
        found = np.zeros(len(self) + 1, dtype=bool)
        for name in categories:
            found[self.of_category(name)] = True
        return found
