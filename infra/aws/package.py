"""Writes Lambda zips and their SBOMs reproducibly; `cargo xtask package` calls it.

The argument names a JSON file: a list of functions, each with the paths `binary` (read), `zip` and `sbom` (written), and a `bill` from
infra/xtask/src/commands/package/sbom.rs. SBOMs are CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), validated by its schema.
"""

import hashlib
import json
import sys
import uuid
import zipfile
from datetime import datetime, timezone
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

# The earliest timestamp of the zip format. SBOMs need a timestamp too, and the time of the build would make them differ.
EPOCH = (1980, 1, 1, 0, 0, 0)
# SBOMs with equal content have equal serial numbers: version 5 UUIDs in this namespace.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/anzol")
VERSION = SchemaVersion.V1_6


def write_zip(binary, path):
    """Writes a Lambda package for `provided.al2023`: one executable file, `bootstrap`."""
    entry = zipfile.ZipInfo("bootstrap", EPOCH)
    entry.create_system = 3  # Unix, so that the permissions below apply
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, binary, compresslevel=9)


def component(about, licenses, **more):
    purl = PackageURL("cargo", name=about["name"], version=about["version"])
    made = Component(
        type=more.pop("type", ComponentType.LIBRARY),
        name=about["name"],
        version=about["version"],
        description=about["description"],
        purl=purl,
        bom_ref=str(purl),
        licenses=[licenses.make_from_string(about["license"])],
        **more,
    )
    if about["checksum"]:
        made.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=about["checksum"]))
    if about["repository"]:
        made.external_references.add(ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(about["repository"])))
    return made


def sbom_of(bill, binary):
    """Returns the SBOM as CycloneDX JSON."""
    licenses = LicenseFactory()
    components = {}
    for about in bill["components"]:
        more = {}
        if about["id"] == bill["root"]:
            more["type"] = ComponentType.APPLICATION
            more["hashes"] = [HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(binary).hexdigest())]
            more["properties"] = [Property(name="anzol:target", value=bill["target"]), Property(name="anzol:rustc", value=bill["rustc"])]
        components[about["id"]] = component(about, licenses, **more)
    root = components[bill["root"]]
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, hashlib.sha256(binary + json.dumps(bill, sort_keys=True).encode()).hexdigest()))
    bom.metadata.timestamp = datetime(*EPOCH, tzinfo=timezone.utc)
    bom.metadata.component = root
    bom.components.update(made for made in components.values() if made is not root)
    for user, used in bill["dependencies"].items():
        bom.register_dependency(components[user], [components[id] for id in used])
    text = make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=2)
    if error := JsonStrictValidator(VERSION).validate_str(text):
        sys.exit(f"package.py: the SBOM of {bill['root']} is not valid CycloneDX: {error}")
    return text + "\n"


def main():
    for function in json.loads(Path(sys.argv[1]).read_text()):
        binary = Path(function["binary"]).read_bytes()
        write_zip(binary, function["zip"])
        Path(function["sbom"]).write_text(sbom_of(function["bill"], binary))


if __name__ == "__main__":
    main()
