"""The alternative: a Dockerfile whose build has the image's content, layer by layer."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from onward.core.errors import DeclarationError
from onward.stages.deploy.image.model import PART
from onward.stages.deploy.oci.descriptor import BASE_NAME, Descriptor
from onward.stages.deploy.oci.image import Image, read_image
from onward.stages.deploy.oci.layout import Layout


def write_context(layout: Layout, found: Descriptor, folder: Path) -> Path:
    """Write a Dockerfile and the layers that it adds into `folder`; return the Dockerfile.

    A base from a registry is named by its digest; any other comes along as layers. A builder
    unpacks the layers with owners and modes as they are, so the file systems are the same; what
    differs is the digest, for builders date what they make.

    Raises
    ------
    DeclarationError
        The image is the model alone, which nothing can run.
    """
    image = read_image(layout, found)
    if all(layer.descriptor.annotations.get(PART) != "base" for layer in image.layers):
        raise DeclarationError(
            f"image {found.digest[:19]}… is the model alone",
            expected="a whole image",
            next_step="`onward image build` makes it; it needs [deploy] base in onward.toml",
        )
    folder.mkdir(parents=True, exist_ok=True)
    lines = list(_lines(layout, image, folder))
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text("".join(f"{line}\n" for line in lines))
    return dockerfile


def _lines(layout: Layout, image: Image, folder: Path) -> Iterator[str]:
    base = image.annotations.get(BASE_NAME)
    yield f"FROM {base or 'scratch'}"
    for number, layer in enumerate(image.layers):
        holds = layer.descriptor.annotations.get(PART, "")
        if base and holds == "base":
            continue
        name = f"{number:02}-{holds}.tar.gz"
        shutil.copyfile(layout.path(layer.descriptor.digest), folder / name)
        yield f"ADD {name} /"
    config = image.config
    for setting in config["Env"]:
        variable, _, value = setting.partition("=")
        yield f"ENV {variable}={_quoted(value)}"
    for name, value in sorted(config["Labels"].items()):
        yield f"LABEL {_quoted(name)}={_quoted(value)}"
    for port in sorted(config["ExposedPorts"]):
        yield f"EXPOSE {port}"
    yield f"WORKDIR {config['WorkingDir']}"
    yield f"USER {config['User']}"
    yield f"ENTRYPOINT {json.dumps(config['Entrypoint'])}"


def _quoted(value: str) -> str:
    """Return the value so that a builder reads it back, and puts no variable in for a dollar."""
    return '"' + re.sub(r'(["$\\])', r"\\\1", value) + '"'
