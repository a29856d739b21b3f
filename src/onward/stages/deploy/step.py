"""Package a registered model as an image, and let the image prove itself on staging."""

from __future__ import annotations

from pathlib import Path

from onward.core import digest
from onward.core.ports import Servers
from onward.core.records import Deployment, ImageRef, ModelRef
from onward.stages.deploy.acceptance import Staged, checks
from onward.stages.deploy.config import Latency
from onward.stages.deploy.image.model import execution, labels, model_layers, tag
from onward.stages.deploy.oci.descriptor import Descriptor
from onward.stages.deploy.oci.image import add_image
from onward.stages.deploy.oci.layout import Layout


def package(model: ModelRef, *, folder: Path) -> ImageRef:
    """Make the model's image in the OCI layout `folder`: its own layers, without a base.

    The same model gives the same digest, and a second call finds the first one's image. Gateways
    on this machine need no more; `build` makes the image that a container runs.

    Raises
    ------
    CorruptError
        The trained folder is not what was registered.
    """
    digest.require(Path(model.path), model.digest, model.ref)
    layout = Layout(folder)
    found = add_image(
        layout,
        model_layers(layout, model),
        config=execution(model, python="python"),
        annotations=labels(model),
        platform="linux/amd64",
    )
    layout.list_entry(found, tag=None if tag(model) in layout.tags() else tag(model))
    return image_ref(layout, found, model)


def image_ref(layout: Layout, found: Descriptor, model: ModelRef) -> ImageRef:
    """Return an image of a layout as records know it."""
    return ImageRef(name=model.name, digest=found.digest, layout=str(layout.folder), model=model)


def accept(
    image: ImageRef, *, servers: Servers, acceptance: tuple[Latency, ...], folder: Path
) -> Deployment:
    """Start the image on staging, hold it to every check, and stop it again, whatever happened.

    Raises
    ------
    OnwardError
        Staging did not start.
    """
    server = servers.start_staging(image, folder)
    try:
        results = checks(Staged(server.url, image), acceptance)
    finally:
        server.stop()
    return Deployment(
        environment="staging",
        image=image,
        passed=all(result.passed for result in results),
        checks=results,
    )
