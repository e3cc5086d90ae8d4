"""Options of `extract pmc`."""

from dataclasses import dataclass, field
from typing import Literal

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.extract import ExtractionOptions


@dataclass(frozen=True, kw_only=True)
class ExtractPmcOptions(ExtractionOptions):
    """PMC's open-access packages (.tar.gz, as they are) and single JATS files in, documents with the full text out."""

    license: Literal["commercial", "cc0", "any"] = "commercial"
    """Which articles are used: "commercial" those that may be used commercially (CC0, CC BY, CC BY-SA, CC BY-ND, public
    domain), "cc0" only CC0, "any" all."""
    file_list: list[str] = field(default_factory=list)
    """PMC's lists that state licences (oa_file_list.csv, *.filelist.csv or .txt); of list and article the stricter counts."""
    captions: bool = False
    """Keep the captions of figures and tables, as paragraphs where they stand."""
    require_body: bool = False
    """Leave out articles of which PMC has only the abstract."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        super().__post_init__()
        if self.license not in ("commercial", "cc0", "any"):
            raise ConfigurationError(
                f"--license: expected 'commercial', 'cc0' or 'any', found '{self.license}'."
            )
