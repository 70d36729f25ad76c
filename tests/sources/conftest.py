"""What tests of data in parts share."""

import pytest

from fastgd._data.shards import ChunkShards


class CountedPasses(ChunkShards):
    """Shards that count how often they are read."""

    n_passes = 0

    def total(self, part, add):
        CountedPasses.n_passes += 1
        return super().total(part, add)


@pytest.fixture
def passes(monkeypatch):
    monkeypatch.setattr("fastgd._data.parts.ChunkShards", CountedPasses)
    CountedPasses.n_passes = 0
    return CountedPasses
