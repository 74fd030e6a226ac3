"""Content vectors: what titles, texts and categories say about items, without any interaction."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from proactrec.config import MOST_DIM, Options
from proactrec.data.trees import with_ancestors
from proactrec.errors import InvalidInputError, MissingExtraError
from proactrec.rng import torch_generator
from proactrec.threads import one_thread

WORD = re.compile(r"[^\W_]+")
OVERSAMPLING, POWER_STEPS = 10, 4
"""Of the randomised SVD: additional columns, and passes that sharpen the range found."""


class ContentOptions(Options):
    """How items are described."""

    n_components: int = Field(512, ge=1, le=MOST_DIM, description="length of a content vector")
    encoder: Literal["tfidf", "sentence"] = Field(
        "tfidf", description="of title and text: weighted words, or a sentence model (an extra)"
    )
    sentence_model: str | None = Field(
        None, description="name or folder of a sentence-transformers model; never fetched otherwise"
    )
    text_weight: float = Field(1.0, ge=0, description="length of the block of title and text")
    category_weight: float = Field(1.0, ge=0, description="length of the block of categories")
    min_items: int = Field(2, ge=1, description="items that a word or category must occur in")


def content_vectors(
    titles: Sequence[str],
    categories: Sequence[Sequence[str]],
    texts: Sequence[str] | None = None,
    options: ContentOptions | None = None,
    *,
    seed: int = 0,
) -> Tensor:
    r"""Vectors of items from their words and categories.

    .. math::
        x_{it} = (1 + \ln n_{it}) \left(\ln \frac{1 + I}{1 + I_t} + 1\right), \quad
        X = [w_1\, n(x^{text}), w_2\, n(x^{category})] \approx U S V^\top, \quad Z = U S

    with :math:`n_{it}` how often term t occurs in item i, :math:`I_t` the items that have it, and
    n(.) a row divided by its length.

    Parameters
    ----------
    titles, categories, texts : sequences of length n_items
    seed : int
        Decides the start of the randomised SVD (Halko, Martinsson and Tropp 2011).

    Returns
    -------
    float tensor, shape (n_items, n_components)
        Fewer columns where there are fewer items or terms. An item of which nothing is known is 0.

    Raises
    ------
    InvalidInputError
        If there is no item, or nothing is known about any.
    MissingExtraError
        If a sentence model is asked for and sentence-transformers is not installed.
    """
    options = options or ContentOptions()
    if not titles:
        raise InvalidInputError("content needs at least one item, got none")
    documents = [f"{title} {text}" for title, text in zip(titles, texts or titles, strict=True)]
    if texts is None:
        documents = list(titles)
    least, weight = options.min_items, options.category_weight
    carried = (list(with_ancestors(names)) for names in categories)
    category_block = _weighted(carried, least, weight)
    if options.encoder == "sentence":
        words = options.text_weight * F.normalize(_sentences(documents, options), dim=1)
        return torch.cat([words, _reduced([category_block], options, seed)], dim=1)
    spoken = (WORD.findall(document.casefold()) for document in documents)
    text_block = _weighted(spoken, least, options.text_weight)
    vectors = _reduced([text_block, category_block], options, seed)
    if vectors.shape[1] == 0:
        raise InvalidInputError("no word and no category occurs often enough to describe items")
    return vectors


def _weighted(documents: Iterable[list[str]], min_items: int, weight: float) -> Tensor:
    """TF-IDF of terms that occur in enough documents: sparse, with rows of length `weight`."""
    counts = [Counter(terms) for terms in documents]
    n_items: Counter[str] = Counter()
    for terms in counts:
        n_items.update(terms.keys())
    known = sorted(term for term, n in n_items.items() if n >= min_items)
    column = {term: number for number, term in enumerate(known)}
    rarity = {term: math.log((1 + len(counts)) / (1 + n_items[term])) + 1 for term in known}
    places: list[tuple[int, int]] = []
    values: list[float] = []
    for row, terms in enumerate(counts):
        weights = {t: (1 + math.log(n)) * rarity[t] for t, n in terms.items() if t in column}
        length = math.sqrt(sum(value**2 for value in weights.values()))
        places += [(row, column[term]) for term in weights]
        values += [weight * (value / length) for value in weights.values()]
    return torch.sparse_coo_tensor(
        torch.tensor(places, dtype=torch.int64).reshape(-1, 2).t(),
        torch.tensor(values, dtype=torch.float64),
        (len(counts), len(known)),
        check_invariants=False,
    )


def _reduced(blocks: list[Tensor], options: ContentOptions, seed: int) -> Tensor:
    """The blocks side by side, reduced to their strongest directions."""
    matrix = torch.cat(blocks, dim=1).coalesce()
    size = min(options.n_components, *matrix.shape)
    if size == 0:
        return torch.zeros(len(matrix), 0)
    rng = torch_generator(seed, "content")
    directions, strength = left_singular(matrix, matrix.t(), size, rng)
    return (directions * strength).float()


@one_thread()
def left_singular(
    matrix: Tensor, transposed: Tensor, size: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The first left singular vectors of a sparse matrix (n_rows, size), and their values.

    By a randomised search (Halko, Martinsson and Tropp 2011) that begins with `rng`. The matrix is
    needed both ways: a CSR one would be sorted anew for every product of its transpose.
    """
    n_probes = min(size + OVERSAMPLING, *matrix.shape)
    probes = torch.randn(matrix.shape[1], n_probes, generator=rng, dtype=matrix.dtype)
    basis = torch.linalg.qr(matrix @ probes).Q
    for _ in range(POWER_STEPS):
        basis = torch.linalg.qr(transposed @ basis).Q
        basis = torch.linalg.qr(matrix @ basis).Q
    left, values, _ = torch.linalg.svd((transposed @ basis).t(), full_matrices=False)
    return (basis @ left)[:, :size], values[:size]


def _sentences(documents: list[str], options: ContentOptions) -> Tensor:
    if options.sentence_model is None:
        raise InvalidInputError("encoder 'sentence' needs sentence_model, a name or a folder")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError(
            "sentence models need sentence-transformers: pip install 'proactrec[sentence]'"
        ) from error
    model = SentenceTransformer(options.sentence_model, device="cpu")
    found = model.encode(documents, convert_to_numpy=True, show_progress_bar=False)
    return torch.as_tensor(found, dtype=torch.float32)
