from megatron_bio.corpus.building.normalise import normalise
from megatron_bio.corpus.document import Document


def test_title_and_lines_are_cleaned_and_empty_lines_dropped() -> None:
    document = Document(
        id="1",
        title="  A\ttitle\x07 ",
        text="cafe\u0301  au\u00a0lait \n\n \x00 \nsecond\u200b line\r\n",
        meta={"year": 2000},
    )
    cleaned = normalise(document)
    assert cleaned.title == "A title"
    assert cleaned.text == "café au lait\nsecond line"
    assert cleaned.id == "1" and cleaned.meta == {"year": 2000}


def test_the_abstract_keeps_its_lines() -> None:
    document = Document(id="1", text="one\n \ntwo\nbody", meta={"abstract_lines": 3})
    assert normalise(document).meta == {"abstract_lines": 2}
    assert normalise(Document(id="1", text="one\ntwo", meta={"abstract_lines": 1})).meta == {
        "abstract_lines": 1
    }
