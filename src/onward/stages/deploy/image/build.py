"""The whole image: base, environment, Onward and model, with what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward.core import digest
from onward.core.records import ImageRef, ModelRef
from onward.stages.deploy.image.base import inspect, require_python
from onward.stages.deploy.image.lock import lock
from onward.stages.deploy.image.model import USER, execution, labels, model_layers, tag
from onward.stages.deploy.image.provenance import ENVELOPE, STATEMENT, envelope, statement
from onward.stages.deploy.image.runtime import LIBRARY, environment_layer, onward_layer
from onward.stages.deploy.oci.descriptor import BASE_DIGEST, BASE_NAME, canonical
from onward.stages.deploy.oci.image import Image, add_image, read_image
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.referrers import attach
from onward.stages.deploy.port import Made, Subject, Workbench
from onward.stages.deploy.step import image_ref


def build(model: ModelRef, made: Made, *, bench: Workbench, folder: Path) -> ImageRef:
    """Build the image that a container runs, in the OCI layout `folder`.

    The same model, base and environment give the same digest, wherever and whenever they are put
    together. Layers that the layout has are used again. A bill of materials and a provenance are
    attached, the latter signed where the bench has a signer.

    Raises
    ------
    CorruptError
        The trained folder is not what was registered.
    DeclarationError
        The base has no interpreter for the model.
    UnavailableError
        A distribution cannot be had.
    """
    trained = Path(model.path)
    digest.require(trained, model.digest, model.ref)
    layout, locked = Layout(folder), lock(trained, extras=bench.extras)
    base = bench.base.fetch(layout, platform=bench.platform)
    inside = inspect(layout, base)
    python = require_python(inside, locked.python)
    environment, distributions = environment_layer(
        layout, locked, bench.packages, platform=base.platform
    )
    layers = [*base.layers, environment, onward_layer(layout), *model_layers(layout, model)]
    found = add_image(
        layout,
        layers,
        config=_config(base, model, python),
        annotations={**labels(model), **_of_base(base, bench.base.name)},
        platform=base.platform,
    )
    subject = Subject(
        image=read_image(layout, found),
        model=model,
        lock=locked,
        components=[*inside.components, *distributions],
        made=made,
    )
    _attach(layout, subject, bench, base)
    layout.list_entry(found, tag=tag(model))
    return image_ref(layout, found, model)


def _attach(layout: Layout, subject: Subject, bench: Workbench, base: Image) -> None:
    image = subject.image.descriptor
    bill = bench.bom.write(subject)
    attach(layout, image, bench.bom.media_type, bill)
    origin = {"uri": bench.base.name, "digest": base.descriptor.digest}
    said = statement(subject, base=origin, bill=bill)
    if bench.signer is None:
        attach(layout, image, STATEMENT, canonical(said))
    else:
        attach(layout, image, ENVELOPE, envelope(said, bench.signer))


def _config(base: Image, model: ModelRef, python: str) -> dict[str, Any]:
    ours = {
        "PYTHONPATH": f"/{LIBRARY}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    theirs = dict(text.partition("=")[::2] for text in base.config.get("Env") or ())
    given = execution(model, python=python)
    return {
        **given,
        "Env": [f"{name}={value}" for name, value in sorted({**theirs, **ours}.items())],
        "Labels": {**(base.config.get("Labels") or {}), **given["Labels"]},
        "User": f"{USER}:{USER}",
    }


def _of_base(base: Image, name: str) -> dict[str, str]:
    named = {BASE_NAME: name} if name else {}
    return {BASE_DIGEST: base.descriptor.digest, **named}
