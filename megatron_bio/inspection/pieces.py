"""Token ids back to text, token by token: pieces of WordPiece joined to words, bytes of byte-level BPE to characters."""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass, field

from megatron_bio.tokens.tokenizer import Tokenizer


def _byte_of_letter() -> dict[str, int]:
    """Return the letters that stand for bytes in byte-level BPE (bytes_to_unicode of OpenAI's GPT-2 encoder.py).

    Printable bytes stand for themselves, the others for the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + number): byte for number, byte in enumerate(others)}


@dataclass(frozen=True)
class Pieces:
    """The pieces of one tokenizer as people read them."""

    tokenizer: Tokenizer
    _letters: dict[str, int] = field(default_factory=_byte_of_letter)

    def name(self, number: int) -> str:
        """Return the piece as it stands in the vocabulary; an unused number in brackets."""
        return self.tokenizer.id_to_token(number) or f"[token {number}]"

    def is_special(self, number: int) -> bool:
        """Whether the token is none of the text's."""
        return number in self.tokenizer.special_ids or self.tokenizer.id_to_token(number) is None

    def texts(self, ids: Iterable[int]) -> list[str]:
        """Return what each token adds to the text; joined they are the text.

        WordPiece: a space and the piece, or what stands behind its ##. BPE: a character of several bytes comes with its last
        byte, however many tokens it is cut into; bytes that make no character, as at the borders of a row, become U+FFFD.
        """
        return self._words(ids) if self.tokenizer.kind == "wordpiece" else self._characters(ids)

    def _words(self, ids: Iterable[int]) -> list[str]:
        names = [self.name(number) for number in ids]
        joined = [name[2:] if name.startswith("##") and len(name) > 2 else f" {name}" for name in names]
        return [text.lstrip(" ") if not place else text for place, text in enumerate(joined)]

    def _characters(self, ids: Iterable[int]) -> list[str]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        texts: list[str] = []
        for number in ids:
            name = self.name(number)
            if self.is_special(number):
                if rest := decoder.decode(b"", final=True):
                    texts[-1] += rest
                decoder.reset()
                texts.append(name)
                continue
            texts.append(decoder.decode(self._bytes(name)))
        if rest := decoder.decode(b"", final=True):
            texts[-1] += rest
        return texts

    def _bytes(self, name: str) -> bytes:
        """Return the bytes of a piece; letters that stand for none, in a token added by hand, are text."""
        return b"".join(
            bytes((self._letters[letter],)) if letter in self._letters else letter.encode() for letter in name
        )
