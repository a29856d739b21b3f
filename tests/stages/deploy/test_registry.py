"""A real registry: what is pushed comes back, others can read it, cuts and logins are borne."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import trained_models as small

import small_images as tiny
from onward.core.errors import (
    CorruptError,
    DeclarationError,
    DeniedError,
    NotFoundError,
    UnavailableError,
)
from onward.core.ports import Secret
from onward.stages.deploy.adapters.ed25519 import new_key, signer
from onward.stages.deploy.adapters.registry import Registry, RegistryBase
from onward.stages.deploy.adapters.registry_client import Access
from onward.stages.deploy.image.build import build
from onward.stages.deploy.image.verification import check
from onward.stages.deploy.oci.descriptor import DOCKER_INDEX, INDEX, LAYER, Descriptor
from onward.stages.deploy.oci.image import Layer, add_image, read_image
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.reference import Reference, parse, repository
from onward.stages.deploy.oci.referrers import fallback_tag, referrers
from onward.stages.deploy.port import Made
from services.redis_server import free_port
from services.registry import PASSWORD, USER, Cutting

OPEN = Registry(Access(insecure=True))
PLATFORM = "linux/amd64"


@pytest.fixture(scope="module")
def key():
    return signer(new_key())


@pytest.fixture(scope="module")
def built(tmp_path_factory, key):
    """A whole image in small: its layout and its entry."""
    folder = tmp_path_factory.mktemp("built")
    model = tiny.recorded(small.train(folder / "trained", small.Linear(1.0)), numpy="2.4.6")
    bench = tiny.workbench(
        tiny.root(folder / "root"), tiny.wheels(folder / "wheels", Path(model.path)), signer=key
    )
    image = build(model, Made(trained=None, run="r1"), bench=bench, folder=folder / "images")
    layout = Layout(folder / "images")
    return layout, read_image(layout, layout.resolve(image.digest)).descriptor


@pytest.fixture
def large(tmp_path):
    """An image with one layer of 3 MB, which is no tar: registries do not look."""
    layout = Layout(tmp_path / "large")
    blob = layout.put(os.urandom(3_000_000), LAYER)
    layer = Layer(descriptor=blob, diff_id=blob.digest, created_by="")
    found = add_image(layout, [layer], config={}, annotations={}, platform=PLATFORM)
    layout.list_entry(found, tag="large:1")
    return layout, found, blob


def blobs(layout: Layout) -> set[str]:
    return {path.name for path in (layout.folder / "blobs" / "sha256").iterdir()}


def test_what_is_pushed_comes_back_whole_and_signed(registry, built, key, tmp_path):
    layout, image = built
    target = Reference(registry.host, "team/returns", "1")
    first = OPEN.push(layout, image, target)
    assert (first.digest, first.there > 0, first.mounted) == (image.digest, True, 0)
    again = OPEN.push(layout, image, target)
    assert (again.sent, again.there) == (0, first.sent + first.there)
    there = Layout(tmp_path / "there")
    pulled = OPEN.pull(there, target, platform=PLATFORM)
    assert pulled.digest == image.digest
    assert {e.digest for e in referrers(there, pulled)} == {
        e.digest for e in referrers(layout, image)
    }
    assert all(c.passed for c in check(there, pulled, key))
    assert blobs(there) == blobs(layout)


def test_referrers_are_listed_under_the_images_own_tag(registry, built):
    layout, image = built
    OPEN.push(layout, image, Reference(registry.host, "team/listed", "1"))
    url = f"http://{registry.host}/v2/team/listed/manifests/{fallback_tag(image)}"
    answer = httpx.get(url, headers={"Accept": INDEX})
    listed = answer.json()["manifests"]
    assert {m["artifactType"] for m in listed} == {
        "application/vnd.cyclonedx+json",
        "application/vnd.dsse.envelope.v1+json",
    }


def test_skopeo_reads_what_was_pushed_and_writes_what_is_pulled(registry, built, tmp_path):
    layout, image = built
    OPEN.push(layout, image, Reference(registry.host, "team/interop", "1"))
    source = f"docker://{registry.host}/team/interop:1"
    asked = ["skopeo", "inspect", "--tls-verify=false", source]
    told = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    assert told["Digest"] == image.digest
    assert told["Labels"]["org.opencontainers.image.title"] == "returns"
    copy = f"docker://{registry.host}/team/copied:1"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false",
         f"oci:{layout.folder}:returns:1", copy],
        check=True, capture_output=True,
    )  # fmt: skip
    there = Layout(tmp_path / "there")
    found = OPEN.pull(there, Reference(registry.host, "team/copied", "1"), platform=PLATFORM)
    assert found.digest == image.digest


def test_layers_are_taken_over_from_another_repository(registry, built):
    layout, image = built
    OPEN.push(layout, image, Reference(registry.host, "base/python", "1"))
    target = Reference(registry.host, "other/returns", "1")
    pushed = OPEN.push(layout, image, target, share=["base/python"])
    assert pushed.sent == 0
    assert pushed.mounted > 5


def test_a_base_is_pulled_once_by_its_digest_alone(registry, built, tmp_path):
    layout, image = built
    reference = Reference(registry.host, "team/base", "1")
    OPEN.push(layout, image, reference)
    with pytest.raises(DeclarationError, match="by a tag, which moves"):
        RegistryBase(OPEN, reference).fetch(Layout(tmp_path), platform=PLATFORM)
    exact = Reference(registry.host, "team/base", "1", image.digest)
    there = Layout(tmp_path / "there")
    base = RegistryBase(OPEN, exact).fetch(there, platform=PLATFORM)
    assert [x.diff_id for x in base.layers] == [x.diff_id for x in read_image(layout, image).layers]
    elsewhere = Reference(f"127.0.0.1:{free_port()}", "team/base", "1", image.digest)
    assert RegistryBase(OPEN, elsewhere).fetch(there, platform=PLATFORM) == base
    assert RegistryBase(OPEN, exact).name == f"{registry.host}/team/base:1@{image.digest}"


@pytest.mark.parametrize("cuts", [1, 3])
def test_a_push_that_is_cut_goes_on_where_it_was(registry, large, cuts):
    layout, image, blob = large
    with Cutting(registry.host, cuts=cuts, after=700_000) as proxy:
        target = Reference(proxy.host, f"cut/push{cuts}", "1")
        pushed = Registry(Access(insecure=True), chunk=500_000).push(layout, image, target)
        assert proxy.cut == cuts
    assert pushed.sent == 2
    found = httpx.get(f"http://{registry.host}/v2/cut/push{cuts}/blobs/{blob.digest}")
    assert found.content == layout.read(blob.digest)


def test_a_pull_that_is_cut_goes_on_where_it_was(registry, large, tmp_path):
    layout, image, blob = large
    OPEN.push(layout, image, Reference(registry.host, "cut/pull", "1"))
    with Cutting(registry.host, cuts=2, after=1_000_000) as proxy:
        there = Layout(tmp_path / "there")
        OPEN.pull(there, Reference(proxy.host, "cut/pull", "1"), platform=PLATFORM)
        assert proxy.cut == 2
    assert there.read(blob.digest) == layout.read(blob.digest)


def test_a_line_that_always_breaks_is_given_up_with_a_reason(registry, large, tmp_path):
    layout, image, _ = large
    OPEN.push(layout, image, Reference(registry.host, "cut/never", "1"))
    with (
        Cutting(registry.host, cuts=100, after=100_000) as proxy,
        pytest.raises(UnavailableError, match="does not answer"),
    ):
        OPEN.pull(
            Layout(tmp_path / "t"), Reference(proxy.host, "cut/never", "1"), platform=PLATFORM
        )


def test_a_login_is_given_where_it_is_asked_for(closed_registry, built, tmp_path):
    layout, image = built
    target = Reference(closed_registry.host, "team/returns", "1")
    with pytest.raises(DeniedError, match="refuses: 401"):
        OPEN.push(layout, image, target)
    wrong = Registry(Access(insecure=True, username=USER, password=Secret("other")))
    with pytest.raises(DeniedError):
        wrong.push(layout, image, target)
    right = Registry(Access(insecure=True, username=USER, password=Secret(PASSWORD)))
    assert right.push(layout, image, target).digest == image.digest
    assert right.pull(Layout(tmp_path / "t"), target, platform=PLATFORM).digest == image.digest


def test_tokens_are_asked_for_what_is_done_and_no_more(token_registry, built, tmp_path):
    server, given = token_registry
    layout, image = built
    right = Registry(Access(insecure=True, username=USER, password=Secret(PASSWORD)))
    target = Reference(server.host, "team/returns", "1")
    assert right.push(layout, image, target).digest == image.digest
    assert set(given) == {"repository:team/returns:pull,push"}
    given.clear()
    right.pull(Layout(tmp_path / "t"), target, platform=PLATFORM)
    assert set(given) == {"repository:team/returns:pull"}
    with pytest.raises(DeniedError):
        OPEN.pull(Layout(tmp_path / "t2"), target, platform=PLATFORM)


def test_tls_is_the_rule_and_its_certificate_must_be_known(tls_registry, registry, built):
    server, ca = tls_registry
    layout, image = built
    target = Reference(server.host, "team/returns", "1")
    assert Registry(Access(ca=str(ca))).push(layout, image, target).digest == image.digest
    with pytest.raises(UnavailableError, match=r"(?i)certificate"):
        Registry(Access()).push(layout, image, target)
    with pytest.raises(UnavailableError) as refused:
        Registry(Access()).push(layout, image, Reference(registry.host, "team/returns", "1"))
    assert "insecure = true" in refused.value.expected


def test_what_is_not_there_or_nobody_answers_is_said(registry, tmp_path):
    with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN"):
        OPEN.pull(Layout(tmp_path), Reference(registry.host, "no/such", "1"), platform=PLATFORM)
    nobody = Reference(f"127.0.0.1:{free_port()}", "no/such", "1")
    with pytest.raises(UnavailableError, match="does not answer"):
        OPEN.pull(Layout(tmp_path), nobody, platform=PLATFORM)


class Lying(BaseHTTPRequestHandler):
    """A registry that sends an index of Docker's, and bytes that are not what was asked for."""

    def do_GET(self) -> None:
        entry = {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 3}
        manifest = {"config": entry, "layers": []}
        image = Descriptor(media_type="m", digest="sha256:" + "1" * 64, size=1).to_json()
        index = {"manifests": [{**image, "platform": {"os": "linux", "architecture": "arm64"}}]}
        kind, found = DOCKER_INDEX, json.dumps(index).encode()
        if "blobs" in self.path:
            kind, found = "application/octet-stream", b"lie"
        elif self.path.endswith("plain"):
            kind, found = (
                "application/vnd.oci.image.manifest.v1+json",
                json.dumps(manifest).encode(),
            )
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_what_is_not_what_its_digest_says_is_refused(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lying)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    host, layout = f"127.0.0.1:{server.server_port}", Layout(tmp_path / "t")
    try:
        with pytest.raises(CorruptError, match="something else came for blob"):
            OPEN.pull(layout, Reference(host, "a", "plain"), platform=PLATFORM)
        exact = Reference(host, "a", None, "sha256:" + "2" * 64)
        with pytest.raises(CorruptError, match="another manifest"):
            OPEN.pull(layout, exact, platform=PLATFORM)
        with pytest.raises(NotFoundError, match="no image for linux/amd64") as refused:
            OPEN.pull(layout, Reference(host, "a", "index"), platform=PLATFORM)
        assert refused.value.expected == "one of linux/arm64"
        with pytest.raises(CorruptError, match="another manifest"):
            OPEN.pull(layout, Reference(host, "a", "index"), platform="linux/arm64")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert [p.name for p in layout.folder.rglob("*") if p.is_file()] in ([], [".lock"])


class Cheating(Lying):
    """A registry that sends bytes which are another blob's; under ``closed`` it lets nobody in."""

    tokens = 0

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            Cheating.tokens += 1
            return self.answer(200, json.dumps({"token": f"t{self.tokens}"}).encode())
        if "/closed/blobs" in self.path:
            realm = f'Bearer realm="http://{self.headers["Host"]}/token"'
            return self.answer(401, b"", **{"WWW-Authenticate": realm})
        return super().do_GET()

    def answer(self, status: int, found: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(found))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(found)


@pytest.fixture
def cheating():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cheating)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    Cheating.tokens = 0
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_registry_that_sends_another_images_blob_takes_it_from_nobody(cheating, tmp_path):
    layout = Layout(tmp_path)
    ours = layout.put(b"lie", LAYER)
    with pytest.raises(CorruptError, match="something else came"):
        OPEN.pull(layout, Reference(cheating, "a", "plain"), platform=PLATFORM)
    assert layout.read(ours.digest) == b"lie"


def test_a_login_that_opens_nothing_is_given_once(cheating, tmp_path):
    with pytest.raises(DeniedError, match="refuses: 401"):
        OPEN.pull(Layout(tmp_path), Reference(cheating, "closed", "plain"), platform=PLATFORM)
    assert Cheating.tokens == 1


def test_references_are_read_and_written():
    digest = "sha256:" + "a" * 64
    for text in ("host:5000/a/b:1", f"h.example/a@{digest}", f"localhost/a:1@{digest}"):
        assert str(parse(text)) == text
    assert parse("h.example/a").version == "latest"
    for wrong in ("a:1", "team/a:1", "h.example/A:1", "h.example/a@sha256:1", "h.example/"):
        with pytest.raises(DeclarationError, match="is no reference to an image"):
            parse(wrong)
    assert str(repository("h.example/team/", "order_return")) == "h.example/team/order_return"
    assert str(repository("h.example/team", "_Order__Return")) == "h.example/team/order-return"
