"""`megatron-bio data check FOLDER`."""

import json

from megatron_bio.config.data_check import DataCheckOptions
from megatron_bio.config.errors import UserError
from megatron_bio.downstream.data_check.as_json import as_json
from megatron_bio.downstream.data_check.as_text import as_text
from megatron_bio.downstream.data_check.look import look_into


class DataCheckError(UserError):
    """There is no folder to look into, or files of benchmarks in it are damaged."""


def data_check(options: DataCheckOptions) -> None:
    """Print what is in a folder. Raises DataCheckError if it is none, and after printing if a file of it is damaged."""
    if not options.folder.is_dir():
        raise DataCheckError(
            f"--folder: expected a folder with benchmarks, found no folder {options.folder}. Correct the path."
        )
    findings = look_into(options.folder)
    print(json.dumps(as_json(findings), indent=2) if options.json else as_text(findings, options.folder))
    if findings.damaged:
        names = ", ".join(map(str, findings.damaged))
        raise DataCheckError(
            f"{options.folder}: {len(findings.damaged)} damaged ({names}). The output says what is wrong with each; "
            "mend or remove them and check again."
        )
