"""Names of ops before and after TensorFlow's rewriting, as text.

In: an op name as profiled. Out: the names that it may have had in the traced graph, likeliest
first, each with the rewriting that explains it. Pure.

Sources of the rewritings: `tensorflow/core/grappler/optimizers/` (arithmetic, layout, constant
folding, remapper, auto mixed precision) and `lower_functional_ops` in `common_runtime`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Functions called in a graph are inlined under the caller's name: the step itself is one, when it
# is called from a `tf.function` that draws from an iterator.
_CALL_PREFIX = re.compile(r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")
# Lowered control flow: `<If>/then/_12/<op>`, `<While>/body/_3/<op>`.
_BRANCH = re.compile(r"/(?:then|else|body|cond|branch\d*)/_\d+(?=/)")
# Copies between devices and control edges: `<op>/_123`.
_EDGE = re.compile(r"/_\d+$")
_LAYOUT = re.compile(
    r"-(?:\d+-)*(?:Transpose|VecPermute|DimMap|PermConst|Reshape|Const)\w*-LayoutOptimizer$"
)
_ARITHMETIC = re.compile(r"^(?P<scope>.*?/?)ArithmeticOptimizer/(?P<made>.+)$")
_COMPOSITION = re.compile(r"/unary_ops_composition(?:_\d+)?$")
_FOLDED = re.compile(
    r"(?:^|/)ConstantFolding/(?P<of>.+?)(?:_(?:recip|partial_split.*|const_axis|_matshape.*))?"
    r"(?:-(?:folded.*|bcastargs-\d+|reduction-.*|partial.*|materialized.*))?$"
)
_CAST = re.compile(r"-\d+-Cast\w*-AutoMixedPrecision$")
_CLONE = re.compile(r"(?:/(?:DuplicatedForSwap|Recomputed|gradient_recomputation)|_clone)\w*$")


def canonical(name: str) -> str:
    """The name without the prefixes of inlined calls and lowered control flow."""
    return _BRANCH.sub("", _CALL_PREFIX.sub("", name))


def originals(name: str) -> Iterator[tuple[str, str]]:
    """Names that the profiled op may have had in the graph, with the rule that says so.

    The first is the name itself (`exact`), then what inlining (`inlined`) and grappler
    (`grappler:...`) make of names.
    """
    yield name, "exact"
    plain = canonical(name)
    if plain != name:
        yield plain, "inlined"
    for pattern, rule in (
        (_LAYOUT, "grappler:layout"),
        (_COMPOSITION, "grappler:composition"),
        (_CAST, "grappler:cast"),
        (_CLONE, "grappler:clone"),
        (_EDGE, "grappler:edge"),
    ):
        cut = pattern.sub("", plain)
        if cut != plain:
            yield cut, rule
    arithmetic = _ARITHMETIC.match(plain)
    if arithmetic:
        for original in _suffixes(arithmetic["made"]):
            yield arithmetic["scope"] + original, "grappler:arithmetic"
    folded = _FOLDED.search(plain)
    if folded:
        yield plain[: folded.start()] + folded["of"], "grappler:folding"
        yield folded["of"], "grappler:folding"


def _suffixes(made: str) -> Iterator[str]:
    """`AddOpsRewrite_Leaf_1_add_2`: the stage's name, numbers, then the original name."""
    for match in re.finditer(r"_", made):
        yield made[match.end() :]


def scopes(name: str) -> Iterator[str]:
    """Enclosing scopes, innermost first: `a/b/c` gives `a/b`, `a`."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name
