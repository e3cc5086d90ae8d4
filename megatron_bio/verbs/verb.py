"""What the command line has to know of a verb."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One thing that megatron-bio does; nothing of it is imported before it is asked for."""

    name: str
    options: str
    """`module:class` of its options."""
    function: str
    """`module:function` that takes them."""
    summary: str
    """One line for the list of verbs."""
    description: str
    """What a newcomer should know before running it."""
    examples: tuple[str, ...]
    positional: str | None = None
    """The option that may be given without its flag."""
    also: str | None = None
    """A longer name that means the same before a value; it is not listed."""

    @property
    def program(self) -> str:
        """How the verb is called."""
        return f"megatron-bio {self.name}"

    @property
    def help_text(self) -> str:
        """The description with the examples."""
        title = "Examples" if len(self.examples) > 1 else "Example"
        return "\n".join([self.description, "", f"{title}:", *(f"  {example}" for example in self.examples)])
