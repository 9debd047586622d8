"""What XLA's instructions compute, on programs small enough to follow by hand."""

from hlo_text import program_of

from frostline.trace.hlo import op_shares
from frostline.trace.ops import OpShare


def program(text: str) -> dict[str, tuple[OpShare, ...]]:
    return op_shares(program_of(text))


def names(shares: tuple[OpShare, ...]) -> dict[str, int]:
    return {share.op_name: share.weight for share in shares}


def test_an_instruction_with_metadata_computes_that_op():
    shares = program(
        """
ENTRY %main (a: f32[4,8], b: f32[8,2]) -> f32[4,2] {
  %a = f32[4,8]{1,0} parameter(0), metadata={op_name="XLA_Args"}
  %b = f32[8,2]{1,0} parameter(1)
  ROOT %dot.1 = f32[4,2]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}, \
metadata={op_type="MatMul" op_name="net/head/MatMul" source_file="x.py" source_line=3}
}
"""
    )
    assert shares["dot.1"] == (OpShare(op_name="net/head/MatMul", op_type="MatMul", weight=8),)


def test_a_fusion_is_split_over_its_arithmetic_and_movement_is_free():
    shares = program(
        """
%sum (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %s = f32[] add(%x, %y)
}

%fused (p: f32[10,8], q: f32[8]) -> f32[8] {
  %p = f32[10,8]{1,0} parameter(0)
  %q = f32[8]{0} parameter(1)
  %zero = f32[] constant(0)
  %wide = f32[10,8]{1,0} broadcast(%q), dimensions={1}, metadata={op_name="net/tile"}
  %scaled = f32[10,8]{1,0} multiply(%p, %wide), metadata={op_type="Mul" op_name="net/mul"}
  ROOT %total = f32[8]{0} reduce(%scaled, %zero), dimensions={0}, to_apply=%sum, \
metadata={op_type="Sum" op_name="net/sum"}
}

ENTRY %main (a: f32[10,8], b: f32[8]) -> f32[8] {
  %a = f32[10,8]{1,0} parameter(0)
  %b = f32[8]{0} parameter(1)
  ROOT %fusion = f32[8]{0} fusion(%a, %b), kind=kLoop, calls=%fused
}
"""
    )
    assert names(shares["fusion"]) == {"net/mul": 80, "net/sum": 80}


def test_a_fusion_with_a_contraction_belongs_to_it_alone():
    shares = program(
        """
%fused (p: f32[4,8], q: f32[8,2]) -> f32[4,2] {
  %p = f32[4,8]{1,0} parameter(0)
  %q = f32[8,2]{1,0} parameter(1)
  %product = f32[4,2]{1,0} dot(%p, %q), metadata={op_name="net/MatMul"}
  ROOT %relu = f32[4,2]{1,0} maximum(%product, %product), metadata={op_name="net/Relu"}
}

ENTRY %main (a: f32[4,8], b: f32[8,2]) -> f32[4,2] {
  %a = f32[4,8]{1,0} parameter(0)
  %b = f32[8,2]{1,0} parameter(1)
  ROOT %fusion = f32[4,2]{1,0} fusion(%a, %b), kind=kOutput, calls=%fused
}
"""
    )
    assert set(names(shares["fusion"])) == {"net/MatMul"}


REWRITTEN_GRADIENT = """
%to_layout (p: f32[16,8,3,3]) -> f32[3,3,8,16] {
  %p = f32[16,8,3,3]{3,2,1,0} parameter(0)
  %back = f32[3,3,8,16]{1,0,2,3} transpose(%p), dimensions={2,3,1,0}, \
metadata={op_name="gradient_tape/net/conv/Conv2DBackpropFilter"}
  ROOT %update = f32[3,3,8,16]{3,2,1,0} add(%back, %back), metadata={op_name="sgd/AssignSub"}
}

%turned (t: f32[8,4,4,32]) -> f32[32,4,4,8] {
  %t = f32[8,4,4,32]{3,2,1,0} parameter(0)
  ROOT %r = f32[32,4,4,8]{3,2,1,0} transpose(%t), dimensions={3,1,2,0}
}

ENTRY %main (x: f32[8,4,4,32], dy: f32[32,4,4,16]) -> f32[3,3,8,16] {
  %x = f32[8,4,4,32]{3,2,1,0} parameter(0)
  %dy = f32[32,4,4,16]{3,2,1,0} parameter(1)
  %turn = f32[32,4,4,8]{3,2,1,0} fusion(%x), kind=kLoop, calls=%turned
  %convolution.6 = f32[16,8,3,3]{3,2,1,0} convolution(%turn, %dy), window={size=4x4}
  ROOT %step = f32[3,3,8,16]{3,2,1,0} fusion(%convolution.6), kind=kLoop, calls=%to_layout
}
"""


def test_a_rewritten_convolution_is_named_by_what_follows_it():
    """XLA rewrites weight gradients and drops their metadata; the layout change keeps it."""
    shares = program(REWRITTEN_GRADIENT)
    gradient = "gradient_tape/net/conv/Conv2DBackpropFilter"
    assert names(shares["convolution.6"]) == {gradient: 1}
    assert names(shares["turn"]) == {gradient: 1}
    assert set(names(shares["step"])) == {"sgd/AssignSub"}


def test_what_was_computed_before_is_charged_to_its_first_instruction():
    """A backward fusion that recomputes an activation is no forward pass."""
    shares = program(
        """
%forward (p: f32[100]) -> f32[100] {
  %p = f32[100]{0} parameter(0)
  ROOT %r = f32[100]{0} maximum(%p, %p), metadata={op_name="net/Relu"}
}

%backward (q: f32[100], d: f32[100]) -> f32[100] {
  %q = f32[100]{0} parameter(0)
  %d = f32[100]{0} parameter(1)
  %again = f32[100]{0} maximum(%q, %q), metadata={op_name="net/Relu"}
  ROOT %g = f32[100]{0} multiply(%again, %d), metadata={op_name="gradient_tape/net/ReluGrad"}
}

ENTRY %main (x: f32[100], dy: f32[100]) -> (f32[100], f32[100]) {
  %x = f32[100]{0} parameter(0)
  %dy = f32[100]{0} parameter(1)
  %f = f32[100]{0} fusion(%x), kind=kLoop, calls=%forward
  %b = f32[100]{0} fusion(%x, %dy), kind=kLoop, calls=%backward
  ROOT %both = (f32[100]{0}, f32[100]{0}) tuple(%f, %b)
}
"""
    )
    assert set(names(shares["f"])) == {"net/Relu"}
    assert set(names(shares["b"])) == {"gradient_tape/net/ReluGrad"}


def test_a_copy_that_nobody_names_belongs_to_what_it_copies():
    shares = program(
        """
ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %n = f32[4]{0} negate(%x), metadata={op_name="net/Neg"}
  ROOT %copy.1 = f32[4]{0} copy(%n)
}
"""
    )
    assert names(shares["copy.1"]) == {"net/Neg": 1}


def test_what_a_loop_contains_is_reached_from_outside():
    shares = program(
        """
%body (s: (f32[4])) -> (f32[4]) {
  %s = (f32[4]{0}) parameter(0)
  %v = f32[4]{0} get-tuple-element(%s), index=0
  %c = f32[4]{0} copy(%v)
  %e = f32[4]{0} exponential(%c), metadata={op_name="net/while/Exp"}
  ROOT %t = (f32[4]{0}) tuple(%e)
}

%condition (s: (f32[4])) -> pred[] {
  %cs = (f32[4]{0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (x: (f32[4])) -> (f32[4]) {
  %x = (f32[4]{0}) parameter(0)
  ROOT %while.1 = (f32[4]{0}) while(%x), condition=%condition, body=%body
}
"""
    )
    assert names(shares["e"]) == {"net/while/Exp": 4}
    assert names(shares["c"]) == {"net/while/Exp": 1}


def test_a_module_without_metadata_tells_nothing():
    assert program("ENTRY %m (x: f32[2]) -> f32[2] {\n  ROOT %x = f32[2] parameter(0)\n}\n") == {}
