"""Which backend Keras was told to use."""

from __future__ import annotations

from pathlib import Path

import pytest

from frostline.errors import UsageError
from frostline.measure.backend import refuse_other_backends


@pytest.mark.parametrize(
    ("variable", "file", "says"),
    [
        (None, None, None),
        ("tensorflow", '{"backend": "jax"}', None),
        (None, '{"backend": "tensorflow"}', None),
        (None, "no JSON", None),
        (None, "[]", None),
        ("jax", None, r"told to use jax \(KERAS_BACKEND=jax\)"),
        (None, '{"backend": "torch"}', r"told to use torch \(`backend` in .*keras.json\)"),
    ],
)
def test_jax_and_torch_are_refused_by_where_they_stand(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    file: str | None,
    says: str | None,
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable is not None:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    if file is not None:
        (tmp_path / "keras.json").write_text(file)
    if says is None:
        refuse_other_backends()
        return
    with pytest.raises(UsageError, match=says) as caught:
        refuse_other_backends()
    assert "set KERAS_BACKEND=tensorflow" in str(caught.value)
