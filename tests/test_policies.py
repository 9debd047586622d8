"""Freeze policies: what they freeze, what they refuse, and what always holds."""

import contextlib
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.errors import PolicyError
from frostline.facts.model_facts import LayerFacts, ModelFacts, VariableFacts
from frostline.policies import (
    PolicyMismatchError,
    anchors,
    expand,
    frozen_layers,
    layer_modes,
    parse,
    why_not,
)


def layer(name, index, upstream=(), *, kind="Dense", norm=False, params=(8, 2), block=None, uses=1):
    names = ("gamma", "beta") if norm else ("kernel", "bias")
    return LayerFacts(
        name=name,
        index=index,
        kind=kind,
        block=block or name.split("/")[0],
        is_norm=norm,
        variables=tuple(
            VariableFacts(
                path=f"{name}/{variable}",
                layer=name,
                name=variable,
                shape=(count,),
                params=count,
                is_bias=variable == "bias",
            )
            for variable, count in zip(names, params, strict=False)
        ),
        upstream=tuple(upstream),
        forward_flops=None,
        uses=uses,
    )


def model(*layers, name="m"):
    return ModelFacts(
        name=name, layers=layers, untrainable_params=0, batch_size=8, build_s=0.1, trace_s=0.1
    )


def chain(*names, **kwargs):
    return model(*(layer(name, i, names[:i]) for i, name in enumerate(names)), **kwargs)


VGG = model(
    layer("vgg16/block1_conv1", 0),
    layer("vgg16/block1_conv2", 1, ["vgg16/block1_conv1"], params=(80, 20)),
    layer("norm", 2, ["vgg16/block1_conv1", "vgg16/block1_conv2"], norm=True),
    layer("dense", 3, ["vgg16/block1_conv1", "vgg16/block1_conv2", "norm"], params=(30, 5)),
    layer("predictions", 4, ["vgg16/block1_conv1", "vgg16/block1_conv2", "norm", "dense"]),
    name="vgg",
)


def frozen(policy, facts=VGG, **kwargs):
    """Policy -> frozen layers, or variables where layers are frozen in part."""
    return {
        one.policy: frozen_layers(facts, one.frozen_variables)
        for one in expand(policy, facts, **kwargs)
    }


def test_words_freeze_what_they_say():
    assert frozen("none") == {"none": ()}
    assert frozen("all_but_head")["all_but_head"] == (
        "vgg16/block1_conv1", "vgg16/block1_conv2", "norm", "dense",
    )  # fmt: skip
    assert frozen("norms") == {"norms": ("norm",)}
    assert frozen("all_but_norms")["all_but_norms"][-1] == "predictions"
    (biases,) = expand("biases", VGG)
    assert biases.frozen_variables == {
        f"{name}/bias"
        for name in ("vgg16/block1_conv1", "vgg16/block1_conv2", "dense", "predictions")
    }
    assert frozen("biases") == {"biases": ()}, "a layer of which only the bias is frozen trains"
    (kernels,) = expand("kernels", VGG)
    (bitfit,) = expand("all_but_biases", VGG)
    assert bitfit.frozen_variables - kernels.frozen_variables == {"norm/gamma", "norm/beta"}
    assert not bitfit.frozen_variables & biases.frozen_variables


def test_counts():
    names = [one.name for one in VGG.layers]
    assert frozen("prefix:2") == {"prefix:2": tuple(names[:2])}
    assert frozen("suffix:2") == {"suffix:2": ("norm", "dense")}
    assert frozen("layer:3") == {"layer:3": ("norm",)}
    assert frozen("layer:5") == {"layer:5": ("predictions",)}
    assert list(frozen("prefix:*")) == ["prefix:1", "prefix:2", "prefix:3", "prefix:4"]
    assert list(frozen("layer:*")) == ["layer:1", "layer:2", "layer:3", "layer:4"]
    assert frozen("suffix:*")["suffix:4"] == frozen("all_but_head")["all_but_head"]
    assert list(frozen("prefix:*/2")) == ["prefix:1", "prefix:4"]
    assert list(frozen("prefix:*/3")) == ["prefix:1", "prefix:3", "prefix:4"]
    assert list(frozen("prefix:*/99")) == list(frozen("prefix:*"))


def test_suffix_counts_below_a_head_that_is_not_used_last():
    facts = model(
        layer("a", 0), layer("head", 1, ["a"]), layer("loop", 2, ["a", "back"]),
        layer("back", 3, ["a", "loop"]),
    )  # fmt: skip
    assert facts.head.name == "head"
    assert frozen("suffix:2", facts) == {"suffix:2": ("loop", "back")}


def test_blocks():
    assert frozen("prefix:*", granularity="block")["prefix:1"] == (
        "vgg16/block1_conv1",
        "vgg16/block1_conv2",
    )
    assert list(frozen("suffix:*", granularity="block")) == ["suffix:1", "suffix:2", "suffix:3"]
    nested = chain("base/a", "base/b")
    with pytest.raises(PolicyError, match=r"has 1 block .*granularity = \"layer\""):
        expand("prefix:1", nested, granularity="block")


def test_names():
    assert frozen("layer:block1_conv2") == {"layer:vgg16/block1_conv2": ("vgg16/block1_conv2",)}
    assert frozen("layer:vgg16")["layer:vgg16"] == ("vgg16/block1_conv1", "vgg16/block1_conv2")
    assert frozen("list:dense, norm") == {"list:dense,norm": ("norm", "dense")}
    assert expand(["dense/bias", "block1_conv1/kernel"], VGG)[0].frozen_variables == {
        "dense/bias",
        "vgg16/block1_conv1/kernel",
    }
    with pytest.raises(PolicyMismatchError, match=r"no layer `predicitons`.*mean `predictions`"):
        expand("layer:predicitons", VGG)
    with pytest.raises(PolicyMismatchError, match="mean `vgg16/block1_conv1`"):
        expand("list:block1_cnv1", VGG)
    twice = chain("a/query", "b/query", "head")
    with pytest.raises(PolicyError, match=r"end of 2 names.*`a/query`, `b/query`"):
        expand("layer:query", twice)


def test_a_layer_that_owns_variables_and_holds_layers_means_all_of_them():
    held = model(
        layer("net/embeddings/tok", 0),
        layer("net/embeddings", 1),
        layer("net/block/att/query", 2),
        layer("net/block/att/key", 3),
        layer("net/other/gate", 4),
        layer("head", 5),
    )
    held = replace(held, also_holds={"net/other": ("net/block/att/key/bias",)})
    for name in ("embeddings", "net/embeddings"):
        (one,) = expand(f"layer:{name}", held)
        assert one.policy == "layer:net/embeddings"
        assert frozen_layers(held, one.frozen_variables) == ("net/embeddings/tok", "net/embeddings")
    (listed,) = expand("list:embeddings,tok/kernel", held)
    assert len(listed.frozen_variables) == 4
    (inside,) = expand("layer:att", held)
    assert inside.policy == "layer:net/block/att"
    assert frozen_layers(held, inside.frozen_variables) == (
        "net/block/att/query",
        "net/block/att/key",
    )
    (shared,) = expand("layer:other", held)
    assert shared.frozen_variables == {
        "net/other/gate/kernel",
        "net/other/gate/bias",
        "net/block/att/key/bias",
    }
    (counted,) = expand("layer:2", held)
    assert frozen_layers(held, counted.frozen_variables) == ("net/embeddings",)


def test_regex_searches_layers_and_variables():
    assert frozen("regex:conv[12]$")["regex:conv[12]$"] == (
        "vgg16/block1_conv1",
        "vgg16/block1_conv2",
    )
    (one,) = expand("regex:^dense/ker", VGG)
    assert one.frozen_variables == {"dense/kernel"}


def test_union():
    (one,) = expand("prefix:1 + norms", VGG)
    assert one.policy == "prefix:1+norms"
    assert frozen_layers(VGG, one.frozen_variables) == ("vgg16/block1_conv1", "norm")
    assert list(frozen("prefix:*/2+biases")) == ["prefix:1+biases", "prefix:4+biases"]
    # a plus belongs to the expression unless a policy's name follows it
    (one,) = expand("regex:n.+c+norms", chain("n1c", "nc", "head"))
    assert one.policy == "regex:n.+c", "a part that matches nothing takes nothing away"
    assert frozen_layers(chain("n1c", "nc", "head"), one.frozen_variables) == ("n1c",)


def test_nothing_matched_is_empty_and_everything_is_refused():
    plain = chain("a", "b", "c")
    for policy in ("norms", "all_but_norms", "regex:zzz", "anchors:extra:1"):
        assert expand(policy, plain) == ()
    alone = chain("only")
    for policy in ("all_but_head", "prefix:*", "layer:*", "random:2@0.5"):
        assert expand(policy, alone) == ()
    for policy in ("regex:.", "list:a,b,c", "layer:3+prefix:2", "kernels+biases"):
        with pytest.raises(PolicyError, match="freezes all 3 layers of model `m`"):
            expand(policy, plain)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("prefix:999", "model `m` has 3 layers with weights, so K is at most 2"),
        ("suffix:3", "K is at most 2"),
        ("layer:4", "K is at most 3"),
        ("prefix:0", "K counts from 1"),
        ("suffix:-1", "K counts from 1"),
        ("prefix:*/0", "at least 1"),
        ("prefix:x", "not a count; write prefix:K"),
        ("prefix", "an argument is missing; write prefix:K"),
        ("layer:", "an argument is missing"),
        ("prefx:1", "unknown policy `prefx`. Did you mean `prefix`?"),
        ("prefix:1+nroms", "unknown policy `nroms`. Did you mean `norms`?"),
        ("all-but-head", "Did you mean `all_but_head`?"),
        ("", "empty policy"),
        ("norms:3", "takes no argument"),
        ("regex:[", "not a regular expression"),
        ("random:4", "such as `random:4@0.5`"),
        ("random:4@1.5", "between 0 and 1"),
        ("random:4@0.5#4", "the last one is #3"),
        ("random:0@0.5", "N is between 1"),
        ("anchors+norms", "takes no `+`"),
        ("anchors:prunned", "Did you mean `pruned`?"),
        ("list:a,,b", "none of them empty"),
        ([], "at least one layer"),
        (["a+b"], "choose the layer with `regex:`"),
    ],
)
def test_refusals_name_what_is_valid(policy, says):
    with pytest.raises(PolicyError, match=re.escape(says)):
        expand(policy, chain("a", "b", "c"))


def test_random_draws_are_stable_and_near_the_fraction():
    facts = chain(*(f"layer{i}" for i in range(20)))
    four = {p.policy.split("#")[1]: p.frozen_variables for p in expand("random:4@0.50", facts)}
    nine = {p.policy.split("#")[1]: p.frozen_variables for p in expand("random:9@.5", facts)}
    assert four.items() <= nine.items(), "a draw does not depend on how many are asked for"
    assert len(set(nine.values())) == 9
    for one in expand("random:9@0.5", facts):
        assert len(one.frozen_variables) / len(facts.variables) == pytest.approx(0.5)
    assert expand("random:1@0.5", facts, seed=1) != expand("random:1@0.5", facts, seed=0)
    # Written down once: another Python, or another release, must draw the same layers.
    (one,) = expand("random:4@0.5#2", chain("a", "b", "c", "d", "e", "f"), seed=7)
    drawn = frozen_layers(chain("a", "b", "c", "d", "e", "f"), one.frozen_variables)
    assert drawn == ("a", "e", "f")


def test_modes():
    facts = model(
        layer("a1", 0), layer("a2", 1, ["a1"]), layer("b1", 2), layer("b2", 3, ["b1"]),
        layer("head", 4, ["a1", "a2", "b1", "b2"]),
    )  # fmt: skip
    names = {"a2/kernel", "a2/bias", "b1/kernel", "b1/bias", "b2/kernel", "b2/bias", "a1/bias"}
    assert layer_modes(facts, names) == {
        "a1": "trainable",
        "a2": "pass_through",
        "b1": "pruned",
        "b2": "pruned",
        "head": "trainable",
    }


def test_three_anchors_do_for_a_chain():
    facts = chain("a", "b", "c")
    found = {one.name: frozen_layers(facts, one.frozen_variables) for one in anchors(facts)}
    assert found == {"trainable": (), "pruned": ("a", "b"), "pass_through": ("b", "c")}
    assert [one.policy for one in expand("anchors", facts)] == [
        "anchors:trainable",
        "all_but_head",
        "anchors:pass_through",
    ]
    assert [one.name for one in anchors(chain("only"))] == ["trainable"]
    assert anchors(model()) == ()


def test_two_heads_take_an_extra_anchor():
    facts = model(layer("a", 0), layer("left", 1, ["a"]), layer("right", 2, ["a"]))
    names = [one.name for one in anchors(facts)]
    assert names == ["trainable", "pruned", "pass_through", "extra:1"]
    assert layer_modes(facts, anchors(facts)[-1].frozen_variables)["right"] == "pruned"


def test_tied_embedding_that_every_layer_feeds():
    names = ["tied", "one", "two"]
    facts = model(
        *(layer(n, i, [other for other in names if other != n], uses=1 + (i == 0))
          for i, n in enumerate(names))
    )  # fmt: skip
    check_coverage(facts)


@st.composite
def wirings(draw):
    """Random models: mostly graphs without loops, some with, in blocks, norms and shared layers."""
    count = draw(st.integers(1, 7))
    loops = draw(st.booleans())
    names = [f"b{draw(st.integers(0, 2))}/l{i}" for i in range(count)]
    direct = {
        i: draw(st.sets(st.integers(0, count - 1 if loops else max(i - 1, 0)), max_size=3)) - {i}
        if loops or i
        else set()
        for i in range(count)
    }
    reach = {i: set(above) for i, above in direct.items()}
    for _ in range(count):
        for above in reach.values():
            above |= set().union(*(reach[j] for j in above)) if above else set()
    return model(
        *(
            layer(
                names[i],
                i,
                [names[j] for j in sorted(reach[i] - {i})],
                norm=draw(st.booleans()),
                params=(draw(st.integers(1, 50)), draw(st.integers(1, 5))),
                uses=draw(st.integers(1, 2)),
            )
            for i in range(count)
        )
    )


@st.composite
def trained_wirings(draw):
    """Random models with layers that no gradient reaches, and steps with several losses."""
    facts = draw(wirings())
    names = [one.name for one in facts.layers]
    cut_off = draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    layers = [
        replace(
            one,
            upstream=tuple(name for name in one.upstream if name not in cut_off),
            variables=tuple(
                replace(each, has_gradient=one.name not in cut_off) for each in one.variables
            ),
        )
        for one in facts.layers
    ]
    groups = draw(st.lists(st.sets(st.sampled_from(names), min_size=1), max_size=3))
    paths = [
        tuple(each.path for each in facts.variables if each.layer in group) for group in groups
    ]
    return replace(facts, layers=tuple(layers), must_train=tuple(paths))


def check_coverage(facts):
    """Every mode that some runnable configuration gives a layer, some anchor gives it too."""
    names = [one.name for one in facts.layers]
    possible = set()
    for mask in range(2 ** len(names) - 1):  # all but the one that freezes everything
        off = {
            variable.path
            for i, one in enumerate(facts.layers)
            if mask >> i & 1
            for variable in one.variables
        }
        if why_not(facts, off) is None:
            possible |= set(layer_modes(facts, off).items())
    shown = set()
    found = anchors(facts)
    for anchor in found:
        assert len(frozen_layers(facts, anchor.frozen_variables)) < len(names)
        assert why_not(facts, anchor.frozen_variables) is None
        shown |= set(layer_modes(facts, anchor.frozen_variables).items())
    assert shown == possible
    assert found[0].name == "trainable"
    assert found[0].frozen_variables == frozenset()
    assert len({one.frozen_variables for one in found}) == len(found)


@settings(max_examples=150, deadline=None)
@given(wirings())
def test_anchors_show_every_layer_in_every_mode_it_can_take(facts):
    check_coverage(facts)


@settings(max_examples=300, deadline=None)
@given(trained_wirings())
def test_anchors_are_what_the_training_step_can_run(facts):
    check_coverage(facts)


def test_anchors_of_two_losses_leave_each_something_to_train():
    """The generator's gradient flows through the discriminator; neither may be frozen whole."""
    generator, discriminator = ["g1", "g2"], ["d1", "d2"]
    facts = replace(
        model(
            layer("g1", 0), layer("g2", 1, ["g1"]), layer("d1", 2, generator, uses=2),
            layer("d2", 3, [*generator, "d1"], uses=2),
        ),
        must_train=tuple(
            tuple(f"{name}/{each}" for name in part for each in ("kernel", "bias"))
            for part in (generator, discriminator)
        ),
    )  # fmt: skip
    found = {one.name: frozen_layers(facts, one.frozen_variables) for one in anchors(facts)}
    assert found == {"trainable": (), "pruned": ("g1", "d1"), "pass_through": ("g2", "d2")}
    # The pruned anchor is not all_but_head here, which would leave the generator nothing.
    assert [one.policy for one in expand("anchors", facts)] == [
        "anchors:trainable",
        "anchors:pruned",
        "anchors:pass_through",
    ]


def test_what_cannot_run_has_a_reason_that_names_layers():
    facts = chain("a", "b", "c")
    cut = replace(
        facts,
        layers=(
            replace(
                facts.layers[0],
                variables=tuple(
                    replace(each, has_gradient=False) for each in facts.layers[0].variables
                ),
            ),
            *facts.layers[1:],
        ),
    )
    assert why_not(cut, {"a/kernel", "a/bias", "b/kernel", "b/bias", "c/bias"}) is None
    assert why_not(cut, {"b/kernel", "b/bias", "c/kernel", "c/bias"}) == (
        "it leaves nothing to train that the loss depends on (no gradient reaches `a`)"
    )
    assert why_not(
        replace(facts, must_train=(("a/kernel", "a/bias"),)), {"a/kernel", "a/bias"}
    ) == ("the training step fails where none of `a` trains")


POLICIES = st.sampled_from(
    [
        *("none", "anchors", "all_but_head", "all_but_biases", "all_but_norms"),
        *("norms", "biases", "kernels", "norms+biases", "prefix:*", "prefix:*/2+norms"),
        *("suffix:*/3", "layer:*", "layer:l0", "list:l0", "regex:l[135]", "regex:b.+l+"),
        *("random:3@0.4", "random:2@0.2+regex:l+2+biases"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(wirings(), POLICIES, st.sampled_from(["layer", "block"]), st.integers(0, 2**32 - 1))
def test_an_expanded_policy_is_a_policy_with_the_same_configuration(facts, policy, unit, seed):
    try:
        expanded = expand(policy, facts, granularity=unit, seed=seed)
    except PolicyError:  # a small model, all of which it would freeze
        return
    known = {variable.path for variable in facts.variables}
    for one in expanded:
        assert one.frozen_variables < known
        assert expand(one.policy, facts, granularity=unit, seed=seed) == (one,)


@given(st.text(max_size=30) | st.lists(st.text(max_size=5), max_size=3))
def test_no_text_breaks_the_parser(text):
    with contextlib.suppress(PolicyError):
        parse(text)


SLOW = chain("a" * 40 + "!", "head")


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+$",
        "(a|a)*$",
        "(a|aa)+$",
        r"(\w+\s?)*\$",
        "(?:a*)*b",
        "a.*.*.*.*.*.*.*.*.*=",
        "(a*a*)*b",
    ],
)
def test_an_expression_that_takes_for_ever_is_refused(expression: str):
    with pytest.raises(PolicyError, match="avoid repetitions within a repetition"):
        expand(f"regex:{expression}", SLOW)


@pytest.mark.parametrize(
    "expression",
    ["a+!", "(?!b)a+!", "(?i)A{40}", "(aa)+!", r"(a)\1+!", "(?P<x>a)(?P=x)", "[[a]+!", "zz|aa|yy"],
)
def test_any_other_expression_is_found_as_python_finds_it(expression: str):
    (one,) = expand(f"regex:{expression}", SLOW)
    assert frozen_layers(SLOW, one.frozen_variables) == ("a" * 40 + "!",)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("regex:a{99999999999}", "it repeats something too often"),
        ("regex:" + "(" * 5_000, "not a regular expression"),
        ("regex:" + "(?:" * 5_000 + ")" * 5_000, "it is nested too deeply"),
        ("prefix:" + "9" * 5_000, "a number of 5000 digits"),
        ("suffix:*/" + "9" * 5_000, "a number of 5000 digits"),
        ("random:" + "9" * 5_000 + "@0.5", "a number of 5000 digits"),
        ("random:3@0.5#" + "9" * 5_000, "a number of 5000 digits"),
    ],
)
def test_numbers_and_expressions_beyond_reason_are_refused(policy: str, says: str):
    with pytest.raises(PolicyError, match=re.escape(says)):
        parse(policy)


def test_a_policy_of_more_configurations_than_anybody_measures_is_refused():
    facts = chain(*(f"layer{i}" for i in range(20)))
    with pytest.raises(PolicyError, match="stands for 47,045,881 configurations of model `m`"):
        expand("+".join(["prefix:*"] * 6), facts)
