"""Print pip's installation report as constraints: names and versions, no addresses."""

import json
import sys
from pathlib import Path

HEADER = """\
# What pyproject.toml resolved to, with its extras. `make constraints` writes this file anew.
# A constraint installs nothing: it only says which version, if the package is needed at all.
"""

report = json.loads(Path(sys.argv[1]).read_text())
found = (item["metadata"] for item in report["install"] if not item["is_direct"])
pins = sorted((m["name"].lower().replace("_", "-"), m["version"]) for m in found)
print(HEADER + "\n".join(f"{name}=={version}" for name, version in pins))
