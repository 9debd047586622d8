"""Published speedups beside measured ones, and the models of the ready studies that repeat them."""

from pathlib import Path

import pytest
from built_trials import Built, row_of
from conftest import trial_row

from frostline.analyse.published_table import published_cells, published_sentences
from frostline.analyse.stored_run import published_of
from frostline.cli import main
from frostline.errors import StudyError
from frostline.published import Published
from frostline.store.sweep import open_sweep
from frostline.study.study import load_study, parse_study

STUDIES = sorted((Path(__file__).parent.parent / "studies").glob("published_*.toml"))
TEXT = """
name = "s"
[[model]]
name = "net"
builder = "models:net"
[freeze]
policies = ["prefix:1"]
"""
POINT = """
[[published]]
policy  = "prefix:1"
speedup = 2.5
source  = "a paper"
differs = "the device"
"""


def point(**changes: object) -> Published:
    values = {"policy": "prefix:1", "speedup": 2.5, "source": "a paper", "differs": "the device"}
    return Published(**(values | changes))  # type: ignore[arg-type]


def row(policy: str = "prefix:1", **changes: object):
    return row_of(**(trial_row(policy, [0], 2.0) | changes))


def test_a_study_names_published_points_and_its_trials_stay_the_same():
    plain = parse_study(TEXT, check_builders=False)
    found = parse_study(TEXT + POINT, check_builders=False)
    assert found.published == (point(),)
    assert plain.published == ()
    with pytest.raises(StudyError, match=r"published\[0\]\.speedup"):
        parse_study(TEXT + POINT.replace("2.5", '"2.5"'), check_builders=False)
    with pytest.raises(StudyError, match="Did you mean `source`"):
        parse_study(TEXT + POINT.replace("source ", "sourc"), check_builders=False)


def test_a_point_stands_beside_every_trial_of_its_configuration():
    rows = [
        row(),
        row("all_but_head", aliases=["prefix:1"], batch_size=32, trial_id="other"),
        row(variant="low", trial_id="low"),
        row("prefix:2", trial_id="two"),
    ]
    cells = published_cells([point()], rows)
    assert [(published, measured[:5]) for _, published, measured in cells] == [
        ("2.50x", "2.00x"),
        ("2.50x", "2.00x"),
    ]
    (low,) = published_cells([point(variant="low")], rows)
    assert "variant low" in low[0]
    assert published_cells([point(strategy="mirrored")], rows)[0][2] == "not measured"
    assert published_cells([point(model="other")], rows)[0][2] == "not measured"
    failed = row(status="failed", speedup=None, error_stage="measure")
    assert published_cells([point()], [failed])[0][2] == "failed in measure"
    assert published_sentences([point(), point()]) == ["a paper. What differs: the device."]


def test_terminal_and_report_show_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Built(folder=tmp_path / "out").controls().sweep()
    stored = tmp_path / "out" / "study.toml"
    stored.write_text(TEXT + POINT)
    assert published_of(open_sweep(str(tmp_path / "out"))) == (point(),)
    assert main(["report", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "2.50x" in shown
    assert "What differs: the device." in shown
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "What differs: the device." in page
    stored.write_text("not a study [")
    assert published_of(open_sweep(str(tmp_path / "out"))) == ()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_published_point_is_a_policy_of_its_study(path: Path):
    study = load_study(path)
    assert study.published
    variants = {spec.variant.name for spec in study.model_specs() if spec.variant}
    for each in study.published:
        assert each.policy in study.freeze.policies
        assert each.variant is None or each.variant in variants


@pytest.mark.tf
def test_models_in_published_shapes_train():
    import numpy as np

    from frostline.published_models import gpt2, resnet18

    tokens = np.zeros((2, 8), "int32")
    for classes, targets in ((0, tokens), (3, np.zeros((2,), "int32"))):
        model = gpt2(vocabulary=11, length=8, width=8, heads=2, blocks=1, classes=classes)
        assert np.isfinite(model.train_on_batch(tokens, targets))
    net = resnet18(size=32, classes=2, widths=(4, 8))
    assert np.isfinite(net.train_on_batch(np.zeros((2, 32, 32, 3)), np.eye(2)))
