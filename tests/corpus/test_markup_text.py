import pytest
from lxml import etree

from megatron_bio.corpus.characters import UnknownEntityError, clean, named_entity, subscript, superscript
from megatron_bio.corpus.markup_text import element_text


def text_of(inner: str) -> str:
    return element_text(etree.fromstring(f'<t xmlns:mml="http://www.w3.org/1998/Math/MathML">{inner}</t>'))


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (
            "Growth of <i>E. coli</i> in TNF-<sub>a</sub> medium at 10<sup>6</sup> cells",
            "Growth of E. coli in TNF-ₐ medium at 10⁶ cells",
        ),
        ("1.73 m<sup>2</sup>", "1.73 m²"),
        ("10<sup>-6</sup> mol and 10<sup>−3</sup>", "10⁻⁶ mol and 10⁻³"),
        ("Ca<sup>2+</sup> and Ca<sup>2 +</sup>", "Ca²⁺ and Ca²⁺"),
        ("CO<sub>2 </sub>emission", "CO₂ emission"),
        ("IC<sub>50</sub> (<b>bold</b>, <u>under</u>)", "IC₅₀ (bold, under)"),
        ("p<sub>trend</sub> x<sub>0.4</sub>", "p_(trend) x_(0.4)"),
        ("TGF<sup>α</sup>", "TGF^(α)"),
        ("cited<sup>1,2</sup>", "cited^(1,2)"),
        ("Ca<sup>²⁺</sup> and H<sub>₂</sub>O", "Ca²⁺ and H₂O"),
        ("10<sup>10<sup>3</sup></sup>", "10^(10³)"),
        ("H<sub><i>2</i></sub>O", "H₂O"),
        ("Drug<sup>®</sup> at 37<sup>∘</sup>C", "Drug® at 37°C"),
        ("a<sup></sup>b<sub> </sub>c", "ab c"),
        ("a\n\t  b c\u2009d", "a b c d"),
        ("e\u0301 \u212b", "é Å"),
        ("CRC\u0099 soft\u00adly z\u200bero", "CRC softly zero"),
        ("&lt;0.05 &amp; &#x3b1;", "<0.05 & α"),
        ("fast-acting &#946;\n\t\t<sub>2</sub>-agonist", "fast-acting β₂-agonist"),
        ("<i>V</i>\n <sub>max</sub> of <sub>2</sub>", "Vₘₐₓ of ₂"),
        ("at\n <sup>13</sup>C\n <i>x</i>", "at ¹³C x"),
        ("0.4-<u>&lt;</u>4.5, <u>&gt; </u>5, 3<u>+</u>1 <u>x &lt; y</u>", "0.4-≤4.5, ≥ 5, 3±1 x < y"),
    ],
)
def test_inline_markup_keeps_spaces_and_scripts(inner: str, expected: str) -> None:
    assert text_of(inner) == expected


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<mml:msup><mml:mn>10</mml:mn><mml:mn>6</mml:mn></mml:msup>", "10⁶"),
        ("<mml:msub>\n <mml:mi>x</mml:mi>\n <mml:mi>i</mml:mi>\n</mml:msub>", "xᵢ"),
        (
            "<mml:msub><mml:mrow><mml:mover><mml:mrow><mml:mi>V</mml:mi></mml:mrow><mml:mo>.</mml:mo></mml:mover>"
            "<mml:mi>O</mml:mi></mml:mrow><mml:mrow><mml:mn>2</mml:mn><mml:mi>m</mml:mi><mml:mi>a</mml:mi>"
            "<mml:mi>x</mml:mi></mml:mrow></mml:msub>",
            "V̇O₂ₘₐₓ",
        ),
        (
            "<mml:mmultiscripts><mml:mi>Xe</mml:mi><mml:mprescripts/><mml:none/><mml:mn>129</mml:mn></mml:mmultiscripts>",
            "¹²⁹Xe",
        ),
        (
            "<mml:mmultiscripts><mml:mi>C</mml:mi><mml:mn>2</mml:mn><mml:mo>+</mml:mo><mml:mprescripts/>"
            "<mml:mn>6</mml:mn><mml:mn>14</mml:mn></mml:mmultiscripts>",
            "¹⁴₆C₂⁺",
        ),
        (
            "<mml:msup><mml:mi>x</mml:mi><mml:mrow><mml:mn>2</mml:mn><mml:mo>\u2062</mml:mo><mml:mi>n</mml:mi></mml:mrow>"
            "</mml:msup>",
            "x²ⁿ",
        ),
        ("<mml:mi>P</mml:mi><mml:mo>=</mml:mo><mml:mn>0.01</mml:mn>", "P = 0.01"),
        ("<mml:mo>&lt;</mml:mo><mml:mn>5</mml:mn>", "<5"),
        (
            "<mml:mfrac><mml:mi>a</mml:mi><mml:mrow><mml:mi>b</mml:mi><mml:mo>+</mml:mo><mml:mi>c</mml:mi></mml:mrow></mml:mfrac>",
            "a/(b+c)",
        ),
        ("<mml:msqrt><mml:mi>n</mml:mi></mml:msqrt>", "√n"),
        ("<mml:mroot><mml:mi>n</mml:mi><mml:mn>3</mml:mn></mml:mroot>", "³√n"),
        ("<mml:munderover><mml:mo>∑</mml:mo><mml:mi>i</mml:mi><mml:mi>n</mml:mi></mml:munderover>", "∑ᵢⁿ"),
        ("<mml:msubsup><mml:mi>x</mml:mi><mml:mn>1</mml:mn><mml:mn>2</mml:mn></mml:msubsup>", "x₁²"),
        ("<mml:mfenced><mml:mi>a</mml:mi><mml:mi>b</mml:mi></mml:mfenced>", "(a, b)"),
        (
            "<mml:mfenced open='[' close=']' separators=''><mml:mi>a</mml:mi><mml:mi>b</mml:mi></mml:mfenced>",
            "[ab]",
        ),
        (
            "<mml:semantics><mml:mi>k</mml:mi><mml:annotation encoding='TeX'>\\kappa</mml:annotation></mml:semantics>",
            "k",
        ),
        (
            "<mml:mi>a</mml:mi><mml:mo>\u2062</mml:mo><mml:mi>b</mml:mi><mml:mspace/><mml:mi>c</mml:mi>",
            "ab c",
        ),
        ("<mml:mtext>\u00a0to\u00a0</mml:mtext><mml:mn>5</mml:mn>", "to 5"),
        (
            "<mml:mtable><mml:mtr><mml:mtd><mml:mn>1</mml:mn></mml:mtd><mml:mtd><mml:mn>2</mml:mn></mml:mtd></mml:mtr>"
            "<mml:mtr><mml:mtd><mml:mn>3</mml:mn></mml:mtd></mml:mtr></mml:mtable>",
            "1 2; 3",
        ),
        ("<mml:mphantom><mml:mn>9</mml:mn></mml:mphantom><mml:unknown><mml:mn>7</mml:mn></mml:unknown>", "7"),
        ("<mml:msup><mml:mn>8</mml:mn></mml:msup>", "8"),
    ],
)
def test_mathml_is_rendered_not_dropped(inner: str, expected: str) -> None:
    assert text_of(f"<mml:math>{inner}</mml:math>") == expected
    assert text_of(f"a <mml:math>{inner}</mml:math> z") == f"a {expected} z"


def test_displayed_formula_is_set_apart() -> None:
    assert (
        text_of("where<DispFormula><mml:math><mml:mi>x</mml:mi></mml:math></DispFormula>holds")
        == "where x holds"
    )


def test_every_script_character_has_its_own_form() -> None:
    assert superscript("0123456789+-=()n") == "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ"
    assert subscript("0123456789+-=()x") == "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₓ"
    assert clean(superscript("6")) == "⁶", "a compatibility normal form would turn 10⁶ into 106"


def test_named_entities_of_html_only() -> None:
    assert named_entity("alpha") == "α"
    with pytest.raises(UnknownEntityError, match="&secret;"):
        named_entity("secret")
