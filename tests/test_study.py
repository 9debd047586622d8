"""Study files: what they mean, and what a user is told who makes mistakes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.errors import StudyError
from frostline.optimizers import taken_apart
from frostline.policies import POLICY_NAMES
from frostline.study.keras_names import keras_names
from frostline.study.study import load_study, parse_study
from frostline.study.tables import FreezeTable, MeasureTable, ModelTable, ResourcesTable, TrainTable
from frostline.study.toml_lines import key_lines
from frostline.suggest import advice, nearest

STUDIES = sorted(Path(__file__).parent.parent.joinpath("studies").glob("*.toml"))

GOOD = """\
name = "good"
seed = 3

[[model]]
name    = "vgg16"
builder = "frostline.models:vgg16_transfer"
kwargs  = { weights = "none", input_shape = [64, 64, 3] }

[train]
batch_size   = [16, 32]
optimizer    = ["adam", "SGD"]
jit_compile  = ["auto", true]

[freeze]
policies = ["none", "prefix:*", ["dense", "norm"]]

[measure]
target_ci = 0.05
"""


def refusal(text, **kwargs):
    with pytest.raises(StudyError) as caught:
        parse_study(text, **kwargs)
    return str(caught.value)


def test_a_study_means_what_it_says():
    study = parse_study(GOOD)
    (spec,) = study.model_specs()
    assert spec.kwargs_json == '{"input_shape":[64,64,3],"weights":"none"}'
    assert (spec.loss, spec.metrics, spec.data, spec.search_path) == (None, (), None, ())
    settings = study.settings()
    assert len(settings) == 8
    assert [(s.batch_size, s.optimizer, s.jit_compile) for s in settings[:3]] == [
        (16, "adam", "auto"),
        (16, "adam", "true"),
        (16, "SGD", "auto"),
    ]
    assert {(s.precision, s.strategy) for s in settings} == {("float32", "single")}
    assert study.freeze.policies == ("none", "prefix:*", ("dense", "norm"))
    assert study.freeze.granularity == "layer"
    assert study.freeze.anchors
    measure = study.measure_spec()
    assert (measure.seed, measure.target_ci, measure.min_pairs) == (3, 0.05, 10)
    assert study.text == GOOD


def test_without_an_optimizer_the_models_own_is_used():
    study = parse_study(GOOD.replace('optimizer    = ["adam", "SGD"]', ""))
    assert {setting.optimizer for setting in study.settings()} == {None}


def test_an_optimizer_has_its_arguments():
    tables = '[{ name = "adamw", weight_decay = 0.01, use_ema = true }, { name = "SGD" }, "adam"]'
    asked = parse_study(GOOD.replace('["adam", "SGD"]', tables))
    optimizers = [setting.optimizer for setting in asked.settings()][::2]
    assert optimizers[:3] == ["adamw(use_ema=True, weight_decay=0.01)", "SGD", "adam"]
    assert taken_apart(optimizers[0]) == ("adamw", {"use_ema": True, "weight_decay": 0.01})
    text = '["adamw(weight_decay=0.01,use_ema=True)", "SGD", "adam"]'
    assert parse_study(GOOD.replace('["adam", "SGD"]', text)).digest == asked.digest
    plain = parse_study(GOOD)
    assert [setting.optimizer for setting in plain.settings()] == ["adam"] * 2 + ["SGD"] * 2 + [
        "adam"
    ] * 2 + ["SGD"] * 2


@pytest.mark.parametrize("text", ["", "sgd(", "sgd(0.1)", "sgd(**{})", "sgd(x=[1])", "a(x=f())"])
def test_what_is_no_optimizer_is_refused(text):
    with pytest.raises(ValueError, match="is no optimizer; write its name"):
        taken_apart(text)


def test_the_digest_follows_what_is_said_not_how():
    same = parse_study("# a remark\n" + GOOD.replace("   = [16, 32]", "=[16,\n  32,\n]"))
    assert same.digest == parse_study(GOOD).digest
    assert parse_study(GOOD.replace("seed = 3", "seed = 4")).digest != same.digest


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_ready_made_studies_are_valid(path):
    study = load_study(path)
    assert study.search_path == (str(path.parent),)


def test_every_mistake_is_named_at_once_with_its_line():
    message = refusal(
        GOOD.replace("seed = 3", "sed = 3")
        .replace("[16, 32]", "[0, 16]")
        .replace('"prefix:*"', '"prefx:*"')
        .replace("target_ci = 0.05", "target_ci = 0.05\nmin_pairs = 80")
        .replace("vgg16_transfer", "vgg16_tranfer"),
        path=Path("my.toml"),
    )
    assert message.startswith("my.toml: 5 mistakes\n")
    lines = message.splitlines()[1:]
    assert lines[0] == "  line 2: sed = 3: unknown key. Did you mean `seed`?"
    assert lines[1].startswith('  line 6: model[0].builder = "frostline.models:vgg16_tranfer"')
    assert lines[1].endswith("Did you mean `vgg16_transfer`?")
    assert lines[2] == "  line 10: train.batch_size[0] = 0: must be at least 1."
    assert lines[3].startswith('  line 15: freeze.policies[1] = "prefx:*"')
    assert lines[3].endswith("Did you mean `prefix`?")
    assert lines[4].startswith("  line 19: measure.min_pairs = 80: min_pairs (80) must not exceed")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "good"', "", "name: missing; give the study a name"),
        ('name = "good"', 'name = ""', "is empty"),
        ("seed = 3", "seed = -1", "seed = -1: must be at least 0"),
        ("seed = 3", 'seed = "3"', "must be a whole number"),
        ("[16, 32]", "[]", "train.batch_size = []: is empty"),
        ("[16, 32]", "16", "must be a list, such as [16]"),
        ("[16, 32]", "[16, 16]", "train.batch_size[1] = 16: is listed twice"),
        ("[16, 32]", "[true]", "must be a whole number"),
        ('["auto", true]', '["true"]', "must be true, false (both without quotes)"),
        ('["adam", "SGD"]', '["adma"]', "Did you mean `adam`?"),
        ('["adam", "SGD"]', '[{ name = "adma" }]', "Did you mean `adam`?"),
        ('"SGD"', '{ name = "adamw", weight_decy = 0.1 }', "Did you mean `weight_decay`?"),
        ('"SGD"', '"adamw(weight_decy=0.1)"', "Did you mean `weight_decay`?"),
        ('"SGD"', "{ weight_decay = 0.1 }", "needs the optimizer's name"),
        ('"SGD"', '{ name = "sgd", clipnorm = inf }', "`clipnorm` must be a finite number"),
        ('"SGD"', "3", "must be an optimizer's name in quotes, or a table"),
        ('"SGD"', '"sgd(0.1)"', "`sgd(0.1)` is no optimizer; write its name"),
        ("[train]", '[train]\nprecision = ["mixed_float32"]', "Did you mean `mixed_float16`?"),
        ("[train]", '[train]\nstrategy = ["mirored"]', "Did you mean `mirrored`?"),
        ("[train]", "[trian]", "unknown key. Did you mean `train`?"),
        ("[train]", "[train]\ntarget_ci = 0.1", "It belongs under [measure]."),
        ("[freeze]", '[freeze]\ngranularity = "blocks"', "Did you mean `block`?"),
        ("[freeze]", '[freeze]\nanchors = "no"', "must be true or false"),
        ('["none", "prefix:*", ["dense", "norm"]]', "[]", "say what to freeze"),
        ('["none", "prefix:*", ["dense", "norm"]]', "[3]", "must be a policy in quotes"),
        ("target_ci = 0.05", "target_ci = 0", "must be greater than 0"),
        ("target_ci = 0.05", "target_ci = nan", "measure.target_ci = nan"),
        ("target_ci = 0.05", "min_pairs = 2", "must be at least 3"),
        ("target_ci = 0.05", "max_pairs = 5", "min_pairs (10) must not exceed max_pairs (5)"),
        ("target_ci = 0.05", 'keep_traces = "some"', "`all`, `anchors`, `none`"),
        ("target_ci = 0.05", "[resources]\ngpus_per_trial = 0.5", "must be a whole number"),
        ("target_ci = 0.05", "[resources]\ncpus_per_trial = 0", "must be at least 1"),
        ('"frostline.models:', '"frostline.modelz:', "Did you mean `models`?"),
        ('"frostline.models:', '"frostlin.models:', "Did you mean `frostline`?"),
        ('"frostline.models:', '"frostline.models.', "write `module:callable`"),
        ("input_shape =", "input_shap =", "Did you mean `input_shape`?"),
        ("kwargs  = {", "kwargs  = { a = 1979-05-27,", "strings, finite numbers"),
        ("kwargs  = {", 'loss = "mse_"\nkwargs  = {', "Did you mean `mse`?"),
        ("kwargs  = {", 'metrics = ["acuracy"]\nkwargs  = {', "Did you mean `accuracy`?"),
        ("kwargs  = {", 'data = "nowhere_at_all:batches"\nkwargs  = {', "no module"),
        ("frostline.models:vgg16_transfer", "keras.applications:ResNet5", "mean `ResNet50`?"),
        ("[[model]]", "[model]", "must be a list"),
        ('"vgg16"', '"a/b"', 'model[0].name = "a/b": use letters, digits'),
    ],
)
def test_a_mistake_names_what_is_valid(old, new, says):
    assert old in GOOD
    assert says in refusal(GOOD.replace(old, new, 1))


def test_two_models_need_two_names():
    twice = GOOD + '\n[[model]]\nname = "vgg16"\nbuilder = "keras.applications:VGG16"\n'
    message = refusal(twice)
    assert "line 21: model[1].name" in message
    assert "model 1 has this name already" in message
    parse_study(twice.replace('name = "vgg16"\nbuilder = "keras', 'name = "b"\nbuilder = "keras'))


def test_an_empty_file_says_what_a_study_needs():
    message = refusal("")
    assert "name: missing" in message
    assert "at least one [[model]]" in message
    assert "freeze: missing; say what to freeze" in message


def test_toml_errors_name_the_line(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text('name = "a"\nseed = = 3\n')
    with pytest.raises(StudyError, match=r"broken\.toml: not TOML: .*line 2"):
        load_study(path)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "demo.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match="not UTF-8"):
        load_study(tmp_path / "demo.toml")
    with pytest.raises(StudyError, match=r"dmo\.toml: no such file. Did you mean .*demo\.toml"):
        load_study(tmp_path / "dmo.toml")
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path)


BUILDER = """\
raise RuntimeError("must not run")

def two_towers(width, *, depth=2):
    pass

if depth := 3:
    from elsewhere import imported
also = lambda: None
match also:
    case None:
        pass
    case _:
        def matched(width):
            pass
try:
    pass
except* OSError:
    grouped = also
"""


def user_study(folder, reference, kwargs="{ width = 3 }"):
    path = folder / "study.toml"
    path.write_text(
        f'name = "u"\n[[model]]\nname = "m"\nbuilder = "{reference}"\nkwargs = {kwargs}\n'
        '[freeze]\npolicies = ["prefix:*"]\n'
    )
    return path


@pytest.fixture
def beside(tmp_path):
    (tmp_path / "mymodels.py").write_text(BUILDER)
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "__init__.py").write_text('raise RuntimeError("must not run either")\n')
    (package / "inner.py").write_text("from somewhere import *\n")
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "kwargs"),
    [
        ("mymodels:two_towers", "{ width = 3, depth = 4 }"),
        ("mymodels:imported", "{}"),
        ("mymodels:also", "{}"),
        ("mymodels:matched", "{ width = 3 }"),
        ("mymodels:grouped", "{}"),
        ("mypackage.inner:cannot_tell", "{}"),
    ],
)
def test_builders_beside_the_study_are_found_and_not_run(beside, reference, kwargs):
    study = load_study(user_study(beside, reference, kwargs))
    assert study.model_specs()[0].search_path == (str(beside),)


@pytest.mark.parametrize(
    ("reference", "kwargs", "says"),
    [
        ("mymodels:two_tower", "{}", "Did you mean `two_towers`?"),
        ("mymodel:two_towers", "{}", "Did you mean `mymodels`?"),
        ("mypackage.iner:x", "{}", "Did you mean `inner`?"),
        (
            "mymodels:two_towers",
            "{ widht = 3 }",
            "takes no argument `widht`. Did you mean `width`?",
        ),
        ("mymodels:two_towers", "{}", "needs the argument `width`"),
    ],
)
def test_builders_that_are_not_there(beside, reference, kwargs, says):
    with pytest.raises(StudyError) as caught:
        load_study(user_study(beside, reference, kwargs))
    assert says in str(caught.value)


def test_a_builder_with_a_syntax_error_is_named_by_file_and_line(beside):
    (beside / "mymodels.py").write_text("def two_towers(:\n")
    with pytest.raises(StudyError, match=r"mymodels\.py, line 1:"):
        load_study(user_study(beside, "mymodels:two_towers"))


def test_a_study_that_is_only_read_needs_no_builder():
    text = GOOD.replace("frostline.models:vgg16_transfer", "gone:away")
    assert parse_study(text, check_builders=False).models[0].builder == "gone:away"


def test_keras_names_are_those_of_the_installed_keras():
    assert {"ResNet50", "VGG16", "MobileNetV2"} <= set(keras_names("applications"))
    assert {"adam", "adamw", "sgd"} <= set(keras_names("optimizers"))
    assert {"mse", "categorical_crossentropy"} <= set(keras_names("losses"))
    assert {"accuracy", "mean_squared_error"} <= set(keras_names("metrics"))


def test_loading_a_study_imports_no_tensorflow():
    code = (
        "import sys, pathlib, json; from frostline.study.study import load_study;"
        f"load_study(pathlib.Path({str(STUDIES[0])!r}));"
        "print(json.dumps([m for m in ('keras', 'tensorflow', 'ray', 'frostline.models')"
        " if m in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


def test_lines_inside_long_strings_are_no_keys():
    text = 'a = """\nb = 1\n"""\n[t]\n"q k" = 2\n[[m]]\nc.d = 1\n[[m]]\n[m.kwargs]\ne = 1\n'
    assert key_lines(text) == {
        ("a",): 1,
        ("t",): 4,
        ("t", "q k"): 5,
        ("m", 0): 6,
        ("m", 0, "c"): 7,
        ("m", 0, "c", "d"): 7,
        ("m", 1): 8,
        ("m", 1, "kwargs"): 9,
        ("m", 1, "kwargs", "e"): 10,
    }


def test_nearest():
    assert nearest("Batch-Size", ["batch_size", "optimizer"]) == "batch_size"
    assert nearest("conv1", ["block1/conv1", "block2/dense"]) == "block1/conv1"
    assert nearest("zzz", ["batch_size"]) is None
    assert advice("zzz", ["a", "b"]) == "Valid: `a`, `b`."
    assert advice("zzz", [str(i) for i in range(20)]).endswith("and 8 more.")


TOML_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["name", "model", "train", "freeze", "measure"]), TOML_LIKE))
def test_no_file_gets_a_traceback(values):
    text = "\n".join(f"{key} = {as_toml(value)}" for key, value in values.items())
    with pytest.raises(StudyError):
        parse_study(text)


def as_toml(value):
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items())
        return "{ " + ", ".join(inner) + " }"
    if isinstance(value, list):
        return f"[{', '.join(as_toml(item) for item in value)}]"
    if isinstance(value, float):
        return {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}.get(
            json.dumps(value), json.dumps(value)
        )
    return '""' if value is None else json.dumps(value)


def test_the_guide_names_every_key_and_policy():
    guide = Path(__file__).parent.parent.joinpath("docs", "studies.md").read_text(encoding="utf-8")
    tables = (ModelTable, TrainTable, FreezeTable, MeasureTable, ResourcesTable)
    for key in ("name", "seed", *(key for table in tables for key in table.model_fields)):
        assert f"`{key}`" in guide
    for policy in POLICY_NAMES:
        assert re.search(rf"\| `{policy}\b", guide)
    for path in STUDIES:
        assert f"`{path.name}`" in guide


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_study(path).digest == parse_study(GOOD).digest
    assert "line 1: nam " in refusal("\ufeff" + GOOD.replace("name = ", "nam = ", 1))


@pytest.mark.parametrize(
    ("right", "slip", "meant"),
    [
        ('name    = "vgg16"', 'nmae    = "vgg16"', "`name`"),
        ("builder =", "buidler =", "`builder`"),
        ("kwargs  =", "kwrags  =", "`kwargs`"),
        ("[freeze]", "[freze]", "`freeze`"),
        ("policies =", "polices =", "`policies`"),
        ('["none", "prefix:*", ["dense", "norm"]]', '["nnoe"]', "`none`"),
    ],
)
def test_one_slip_is_one_mistake(right: str, slip: str, meant: str):
    said = refusal(GOOD.replace(right, slip, 1))
    assert "1 mistake\n" in said
    assert f"Did you mean {meant}?" in said
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("seed = " + "9" * 5_000, "line 1: a whole number beyond TOML's range of 64 bits"),
        ("x = 0x" + "f" * 5_000, "line 1: x: a whole number beyond TOML's range"),
        (f"x = {2**63}", "line 1: x: a whole number beyond TOML's range"),
        ("x = " + "[" * 400 + "]" * 400, "line 1: x"),
        ("x = " + "[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ("x" + ".a" * 400 + " = 1", "nested too deeply; a study has at most 20 tables"),
        ("x = " + "{ a = " * 5_000 + "1" + " }" * 5_000, "nested too deeply"),
    ],
)
def test_numbers_and_depths_beyond_reason_are_mistakes(line: str, says: str):
    said = refusal(f"{line}\n{GOOD}")
    assert says in said
    assert len(said) < 300


def test_tables_nested_in_a_models_arguments_are_told_with_their_line():
    deep = "{ a = " * 30 + "1" + " }" * 30
    said = refusal(GOOD.replace('{ weights = "none", input_shape = [64, 64, 3] }', deep))
    assert said == (
        "the study: line 7: model[0]: nested too deeply; "
        "a study has at most 20 tables and lists in each other."
    )


@pytest.mark.parametrize(("letter", "fits"), [("a", 100), ("é", 100), ("漢", 66), ("𠀀", 50)])
def test_a_models_name_fits_a_files_name(letter: str, fits: int):
    assert parse_study(GOOD.replace('"vgg16"', f'"{letter * fits}"', 1)).models[0].name
    assert "model[0].name" in refusal(GOOD.replace('"vgg16"', f'"{letter * (fits + 1)}"', 1))


def test_a_file_without_end_is_no_study():
    with pytest.raises(StudyError, match="larger than 4 MiB"):
        load_study(Path("/dev/zero"))
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(Path("a\0b"))
