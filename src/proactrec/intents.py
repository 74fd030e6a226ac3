"""Intents: k-means prototypes of user vectors, and the nearest prototype of any vector."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from proactrec.config import Options
from proactrec.errors import ArtefactError, InvalidInputError
from proactrec.rng import torch_generator

N_ITERATIONS, N_RESTARTS, POINTS_PER_CENTROID = 20, 5, 4096


class IntentOptions(Options):
    """Prototypes that the policy's intention scores use."""

    n_intents: int = Field(32, ge=1, le=100_000, description="number of prototypes")
    source: Literal["kmeans", "random"] = Field(
        "kmeans", description="k-means of the final encoder, or never trained as in the code (D7)"
    )
    fitted_on: Literal["mean", "last"] = Field(
        "mean", description="mean-pooled states (ICLRec's own), or the last position's (D7)"
    )


class Intents:
    """Prototypes of what users are after.

    Parameters
    ----------
    prototypes : float tensor, shape (n_intents, embedding_dim)
    """

    def __init__(self, prototypes: Tensor) -> None:
        self.prototypes = prototypes

    def assign(self, x: Tensor) -> Tensor:
        """Index of the prototype with the largest cosine to each row of x (N, d): (N,).

        For unit prototypes this is also the nearest one by Euclidean distance to unit rows.
        """
        return (x @ F.normalize(self.prototypes, dim=1).T).argmax(1)

    def to(self, device: torch.device) -> "Intents":
        """The intents on another device."""
        return Intents(self.prototypes.to(device))

    def save(self, path: Path) -> None:
        """Write the prototypes as safetensors."""
        save_file({"prototypes": self.prototypes.cpu().contiguous()}, path)

    @classmethod
    def load(cls, path: Path) -> "Intents":
        """Read what :meth:`save` wrote."""
        try:
            return cls(load_file(path)["prototypes"])
        except (OSError, KeyError, SafetensorError) as error:
            raise ArtefactError(f"intents {path} can't be read: {error}") from error


def cluster(x: Tensor, n_intents: int, *, seed: int) -> Tensor:
    """Centres of k-means (20 iterations, best of 5 starts) of the rows of x: (n_intents, d).

    Raises
    ------
    InvalidInputError
        If there are fewer rows than intents, or a value is not finite.
    """
    if not 1 <= n_intents <= len(x):
        raise InvalidInputError(
            f"n_intents must be between 1 and the number of vectors ({len(x)}), got {n_intents}"
        )
    if not bool(torch.isfinite(x).all()):
        raise InvalidInputError("vectors to cluster must be finite; training has diverged")
    import faiss  # here: it takes long to load, and who guides by a guide clusters nothing

    kmeans = faiss.Kmeans(
        x.shape[1],
        n_intents,
        niter=N_ITERATIONS,
        nredo=N_RESTARTS,
        seed=seed % 2**31,  # faiss takes a signed 32-bit integer
        min_points_per_centroid=1,
        max_points_per_centroid=POINTS_PER_CENTROID,
    )
    kmeans.train(np.ascontiguousarray(x.cpu().numpy(), dtype=np.float32))
    return torch.from_numpy(kmeans.centroids).to(x.device)


def fit_intents(
    x: Tensor, n_intents: int, *, seed: int, source: Literal["kmeans", "random"] = "kmeans"
) -> Intents:
    """Intents of vectors x (N, d), as unit vectors.

    `source="random"` gives what the authors' public code uses by accident (itmprec.md D7): its
    k-means centres never reach the model, whose matrix stays at its N(0, 0.02²) start.
    """
    if source == "random":
        rng = torch_generator(seed, "random-intents")
        return Intents(0.02 * torch.randn(n_intents, x.shape[1], generator=rng))
    return Intents(F.normalize(cluster(x, n_intents, seed=seed), dim=1))
