"""Bills of materials in CycloneDX, by its own library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as BomComponent
from cyclonedx.model.component import ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from onward.core.version import VERSION
from onward.stages.deploy.oci.image import EPOCH
from onward.stages.deploy.port import Component, Subject

_HASH: Final = HashAlgorithm.SHA_256
_DISTROS: Final = {"deb": "debian", "apk": "alpine"}


class CycloneDx:
    """Writes CycloneDX 1.6, JSON: the image, what the base has, each distribution, the model."""

    media_type = "application/vnd.cyclonedx+json"

    def write(self, subject: Subject) -> bytes:
        """Return the bill. Its serial number follows from the image's digest."""
        import json

        image, model = subject.image, subject.model
        bom = Bom(serial_number=uuid5(NAMESPACE_URL, image.descriptor.digest))
        bom.metadata.component = BomComponent(
            type=ComponentType.CONTAINER,
            name=model.name,
            version=str(model.version),
            bom_ref="image",
            hashes=[_sha256(image.descriptor.digest.removeprefix("sha256:"))],
        )
        parts = [
            *_model(subject),
            BomComponent(
                type=ComponentType.APPLICATION,
                name="onward",
                version=VERSION,
                bom_ref="onward",
                licenses=[LicenseFactory().make_with_expression("Apache-2.0")],
                purl=PackageURL("pypi", name="onward", version=VERSION),
            ),
            *(_component(component) for component in subject.components),
        ]
        for part in parts:
            bom.components.add(part)
        bom.register_dependency(bom.metadata.component, parts)
        text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
        found: dict[str, Any] = json.loads(text)
        found["metadata"]["timestamp"] = EPOCH  # the time of writing says nothing about the image
        return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def _model(subject: Subject) -> Iterator[BomComponent]:
    model = subject.model
    trained = subject.made.trained
    known = {
        "onward:trained": model.trained,
        "onward:commit": (trained.commit or "") if trained else "",
        "onward:training": trained.training.ref if trained else "",
    }
    yield BomComponent(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=model.name,
        version=str(model.version),
        bom_ref=model.ref,
        hashes=[_sha256(model.digest)],
        properties=[Property(name=name, value=value) for name, value in known.items() if value],
    )


def _component(component: Component) -> BomComponent:
    qualifiers = {"arch": component.architecture} if component.architecture else None
    purl = PackageURL(
        component.kind,
        namespace=component.distro or _DISTROS.get(component.kind),
        name=component.name,
        version=component.version,
        qualifiers=qualifiers,
    )
    licences = LicenseFactory()
    return BomComponent(
        type=ComponentType.LIBRARY,
        name=component.name,
        version=component.version,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=[_sha256(component.sha256)] if component.sha256 else None,
        licenses=[licences.make_from_string(component.licence)] if component.licence else None,
    )


def _sha256(digest: str) -> HashType:
    return HashType(alg=_HASH, content=digest)
