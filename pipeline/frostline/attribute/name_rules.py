"""Attribution by op names alone, for foreign traces of which no graph was recorded.

In: an op name without prefixes of inlined functions, and its type. Out: `Match` with a rule that
begins with `name:`, or None. Pure.

Names separate the passes only in part. Within `gradient_tape`, `Conv2DBackpropFilter`,
`BiasAddGrad` and the second product of a `MatMul`'s gradient are dW; `Conv2DBackpropInput`, the
`Conv2D` that differentiates a transposed convolution and the gradients of pooling are dX. The
others may be either: the first product of a `MatMul`'s gradient and `ReluGrad` are dW in the first
trainable layer and dX behind it, `FusedBatchNormGradV3` is both. They keep their layer and go to
`other`, under the rule `name:undecided`.
"""

from __future__ import annotations

import re

from frostline.attribute.index import Match
from frostline.attribute.names import originals

_GRADIENT = re.compile(r"^(?:gradient_tape|gradients)/")
_JAX = re.compile(r"^jit\(")
_REPLICA = re.compile(r"(?:^|(?<=/))replica_\d+/")
_OPTIMIZER = re.compile(
    r"^(?:ada(?:delta|factor|grad|m(?:ax|w|weightdecay)?)|ftrl|lamb|lion|loss_scale_optimizer|muon"
    r"|nadam|rmsprop|sgd)(?:_\d+)?/",
    re.IGNORECASE,
)
_APPLY = re.compile(r"^(?:Resource)?(?:Sparse)?Apply[A-Z]")
_FILTER = re.compile(r"^\w*Conv\w*BackpropFilter\w*$|^BiasAddGrad(?:_\d+)?$")
_PRODUCT = re.compile(r"^_?(?:Mkl)?(?:Native)?(?:Fused)?MatMul$")
_ACTIVATION = re.compile(r"^\w*Conv\w*BackpropInput\w*$|^Conv[23]D(?:_\d+)?$|^\w+Pool\w*Grad\w*$")
# Scopes that ops open inside of their layer: op types and operators, numbered when repeated, and
# names that Keras code gives, which with a number are rather a layer's (`dropout_1`).
_OP_SCOPE = re.compile(
    r"^(?:Add(?:N|V2)?|AvgPool\w*|BatchMatMul\w*|BiasAdd|Cast|Conv\dD\w*|Depthwise\w*|Einsum|Exp"
    r"|FusedBatchNorm\w*|GatherV2|MatMul|MaxPool\w*|Maximum|Mean|Minimum|Mul|Neg|Pow|RealDiv|Relu6?"
    r"|Reshape|Rsqrt|Sigmoid|Softmax\w*|Sqrt|Squared?\w*|Sub|Sum|Tanh|Tensordot|Tile|Transpose"
    r"|add|mul|neg|pow|strided_slice|sub|truediv)(?:_\d+)?$"
    r"|^(?:batchnorm|conv_transpose|convolution|depthwise|dropout|einsum|moments|random_uniform"
    r"|separable_conv2d|stateless_dropout|stateless_random_uniform)$"
)


def by_name(name: str, op_type: str) -> Match | None:
    """Layer and pass as far as names decide; None where the name has no scope."""
    plain = _REPLICA.sub("", _before_grappler(name))
    if _OPTIMIZER.match(plain) or _APPLY.match(op_type):
        return Match(None, "optimizer", "name:optimizer")
    if _JAX.match(plain):
        return _of_jax(plain)
    if _GRADIENT.match(plain):
        return _backward(_GRADIENT.sub("", plain), op_type)
    layer = layer_of(plain)
    return Match(layer, "forward", "name:forward") if layer else None


def _before_grappler(name: str) -> str:
    """The name with a suffix or scope of grappler's removed, the first explanation taken."""
    for original, rule in originals(name):
        if rule.startswith("grappler:"):
            return original
    return name


def _of_jax(name: str) -> Match | None:
    """JAX marks the ops that it differentiates, but neither the variable nor the layer."""
    if "transpose(" in name.partition("/")[2]:
        return Match(None, "other", "name:undecided")
    return Match(None, "forward", "name:forward") if "/jvp(" in name else None


def _backward(name: str, op_type: str) -> Match:
    layer, leaf = layer_of(name), name.rpartition("/")[2]
    if _FILTER.match(leaf) or (leaf == "MatMul_1" and _PRODUCT.match(op_type)):
        return Match(layer, "weight_gradient", "name:weight_gradient")
    if _ACTIVATION.match(leaf):
        return Match(layer, "activation_gradient", "name:activation_gradient")
    return Match(layer, "other", "name:undecided")


def layer_of(name: str) -> str | None:
    """The layer's scope in an op name: without the op, and without scopes that ops open."""
    parts = name.split("/")[:-1]
    opened: set[str] = set()
    while parts and _OP_SCOPE.match(parts[-1]) and parts[-1] not in opened:
        opened.add(parts.pop())
    return "/".join(parts) or None
