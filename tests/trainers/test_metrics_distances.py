"""Distances between distributions, against other people's implementations and known biases."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import linalg, stats
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.metrics.fid import frechet
from gentrainers.metrics.kid import kernel_distance
from gentrainers.metrics.kit import neighbours
from gentrainers.metrics.kit.manifolds import overlap
from gentrainers.metrics.sliced_wasserstein import directions, sliced

Floats = NDArray[np.float64]


class Flat(nn.Module):
    """The extractor that we hand to torchmetrics: it must see the very bytes that ours sees."""

    num_features = 48

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).double() / 255


def pictures(n: int, shift: int, seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return np.clip(random.normal(100 + shift, 40, (n, 3, 4, 4)), 0, 255).astype(np.uint8)


def features(images: NDArray[np.uint8]) -> Floats:
    return images.reshape(len(images), -1).astype(np.float64) / 255


def test_fid_is_torchmetrics_fid() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import

    theirs = FrechetInceptionDistance(feature=Flat(), normalize=False)
    theirs.set_dtype(torch.float64)
    real, made = pictures(300, 0, 0), pictures(300, 25, 1)
    theirs.update(torch.from_numpy(real), real=True)
    theirs.update(torch.from_numpy(made), real=False)
    assert frechet(features(made), features(real)) == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_kid_is_torchmetrics_kid() -> None:
    from torchmetrics.image.kid import KernelInceptionDistance

    theirs = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=200, normalize=False)
    real, made = pictures(200, 0, 2), pictures(200, 25, 3)
    theirs.update(torch.from_numpy(real), real=True)
    theirs.update(torch.from_numpy(made), real=False)
    assert kernel_distance(features(made), features(real)) == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def cloud(n: int, dims: int, seed: int, shift: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(shift, 1, (n, dims))


@pytest.mark.parametrize("n", [40, 300])  # fewer rows than dimensions too
def test_fid_is_the_formula_with_a_matrix_root(n: int) -> None:
    made, real = cloud(n, 64, 0, 0.3) @ np.diag(np.linspace(0.5, 2, 64)), cloud(n, 64, 1)
    root = linalg.sqrtm(np.cov(made.T) @ np.cov(real.T)).real
    expect = np.sum((made.mean(0) - real.mean(0)) ** 2) + np.trace(np.cov(made.T) + np.cov(real.T) - 2 * root)
    assert frechet(made, real) == pytest.approx(expect, rel=1e-4)


def test_fid_is_zero_for_the_same_rows_and_taken_in_float64() -> None:
    rows = cloud(500, 64, 0) + 1e4  # in float32 the covariance would be noise
    assert frechet(rows, rows[::-1]) == pytest.approx(0, abs=1e-6)


def test_fid_is_biased_by_n_and_kid_is_not() -> None:
    draws = [(cloud(250, 64, 2 * i), cloud(250, 64, 2 * i + 1)) for i in range(6)]
    small = np.mean([frechet(a, b) for a, b in draws])
    large = frechet(cloud(4000, 64, 100), cloud(4000, 64, 101))
    assert small > 5
    assert large < 1
    kernel = [kernel_distance(a, b) for a, b in draws]
    assert abs(np.mean(kernel)) < 3 * np.std(kernel) / 6**0.5 + 1e-3


def test_kid_in_parts_is_unbiased_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = cloud(900, 8, 0, 0.5), cloud(900, 8, 1)
    whole = kernel_distance(made, real)
    monkeypatch.setattr("gentrainers.metrics.kid.LARGEST", 300)
    assert kernel_distance(made, real) == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("block", [1 << 24, 1000])
def test_precision_recall_density_coverage_are_those_of_brute_force(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    made, real, k = cloud(230, 8, 0, 0.4) * 0.8, cloud(230, 8, 1), 5

    def radii(rows: Floats) -> Floats:
        found: Floats = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(rows).kneighbors(rows)[0][:, k]
        return found

    apart = np.linalg.norm(made[:, None] - real[None], axis=2)
    in_real, in_made = apart < radii(real)[None, :], apart < radii(made)[:, None]
    found = overlap(made, real, k)
    assert found.precision == pytest.approx(in_real.any(1).mean())
    assert found.recall == pytest.approx(in_made.any(0).mean())
    assert found.density == pytest.approx(in_real.sum(1).mean() / k)
    assert found.coverage == pytest.approx((apart.min(0) < radii(real)).mean())


def test_two_samples_of_one_gaussian_score_far_below_one_in_precision() -> None:
    found = overlap(cloud(1000, 64, 0), cloud(1000, 64, 1))
    assert 0.6 < found.precision < 0.8
    assert 0.6 < found.recall < 0.8
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage == pytest.approx(0.97, abs=0.02)


def test_sliced_wasserstein_is_scipys_along_each_direction() -> None:
    made, real = cloud(150, 6, 0, 0.3), cloud(150, 6, 1)
    along = directions(6, 32)
    assert np.linalg.norm(along, axis=0) == pytest.approx(1)
    each = [stats.wasserstein_distance(made @ d, real @ d) for d in along.T]
    assert sliced(made, real, 32, order=1) == pytest.approx(np.mean(each))
    squares = [np.mean((np.sort(made @ d) - np.sort(real @ d)) ** 2) for d in along.T]
    assert sliced(made, real, 32) == pytest.approx(np.mean(squares) ** 0.5)


@pytest.mark.parametrize("distance", [frechet, kernel_distance, overlap, sliced])
def test_unequal_numbers_are_refused(distance: object) -> None:
    with pytest.raises(JobError, match="99 samples cannot be compared with 100 real ones") as caught:
        distance(cloud(99, 4, 0), cloud(100, 4, 1))  # type: ignore[operator]
    assert caught.value.code == Code.BAD_CONFIG


def test_the_nearest_row_of_a_copy_is_at_distance_zero() -> None:
    rows = np.random.default_rng(0).uniform(0, 1, (400, 64)).astype(np.float32)
    distance, index = neighbours.nearest(rows[7:9], rows)
    assert distance.tolist() == [0, 0]
    assert index.tolist() == [7, 8]
    skipped, _ = neighbours.nearest(rows, rows, skip=np.arange(400))
    expect = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(rows).kneighbors(rows)[0][:, 1]
    assert skipped == pytest.approx(expect, rel=1e-4)
