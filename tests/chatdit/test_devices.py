"""GPUs as CUDA names them."""

from __future__ import annotations

import pytest

from chatdit.devices import visible_gpus


@pytest.mark.parametrize(
    ("said", "found"),
    [(None, ("0", "1", "2")), ("4, GPU-ab", ("4", "GPU-ab")), ("", ()), ("7,8,9,10", ("7", "8", "9"))],
)
def test_gpus_are_named_as_cuda_names_them(
    monkeypatch: pytest.MonkeyPatch, said: str | None, found: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if said is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0 if said == "" else 2 if said == "4, GPU-ab" else 3)
    assert visible_gpus() == found
