"""A SAML identity provider on pysaml2, with one user: jane, whose password is secret. Its argument is a JSON file of settings."""
import functools
import html
import http.server
import json
import sys
import urllib.parse

import saml2.config
import saml2.entity
import saml2.server
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.sigver import verify_redirect_signature

AES128_CBC = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
MEMBERS = {"uid": ["jane"], "mail": ["jane@example.org"], "groups": ["staff", "admins"]}

with open(sys.argv[1], encoding="utf-8") as f:
    settings = json.load(f)
providers = {sp["EntityID"]: sp for sp in settings["Providers"]}
base = settings["URL"]


def metadata_of(sp):
    key = ""
    if sp["Certificate"]:
        key = (
            '<md:KeyDescriptor><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
            f'<ds:X509Certificate>{sp["Certificate"]}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>'
        )
    return (
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{sp["EntityID"]}">'
        f'<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{key}'
        f'<md:AssertionConsumerService Binding="{BINDING_HTTP_POST}" Location="{sp["ACS"]}" index="0" isDefault="true"/>'
        "</md:SPSSODescriptor></md:EntityDescriptor>"
    )


config = saml2.config.IdPConfig().load({
    "entityid": settings["EntityID"],
    "xmlsec_binary": settings["XMLSec"],
    "key_file": settings["Key"],
    "cert_file": settings["Certificate"],
    "service": {"idp": {
        "endpoints": {"single_sign_on_service": [(base + "sso", BINDING_HTTP_REDIRECT), (base + "sso", BINDING_HTTP_POST)]},
        "name_id_format": [NAMEID_FORMAT_PERSISTENT],
        "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None, "fail_on_missing_requested": False,
                               "name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"}},
    }},
    "metadata": {"inline": [metadata_of(sp) for sp in providers.values()]},
    "attribute_map_dir": settings["Attributes"],
})
idp = saml2.server.Server(config=config)
# pysaml2's default for the content is 3DES, which nobody should accept.
saml2.entity.pre_encryption_part = functools.partial(saml2.entity.pre_encryption_part, msg_enc=AES128_CBC)
idp.sec.encrypt_assertion = functools.partial(idp.sec.encrypt_assertion, key_type="aes-128")


class Refused(Exception):
    """Why a request is not answered."""


def read(fields, binding):
    """Returns the provider that asks, and its request. Those whose certificate is known must have signed."""
    request = idp.parse_authn_request(fields["SAMLRequest"], binding).message
    sp = providers.get(request.issuer.text.strip())
    if not sp:
        raise Refused("unknown issuer")
    if sp["Certificate"]:
        signed = request.signature is not None  # and was verified by parse_authn_request
        if binding == BINDING_HTTP_REDIRECT:
            signed = "Signature" in fields and verify_redirect_signature(fields, idp.sec.sec_backend, sp["Certificate"])
        if not signed:
            raise Refused("the request is not signed")
    if request.assertion_consumer_service_url not in (None, sp["ACS"]):
        raise Refused("unknown assertion consumer service")
    return sp, request


def answer(sp, request, relay_state):
    response = idp.create_authn_response(
        MEMBERS, in_response_to=request.id, destination=sp["ACS"], sp_entity_id=sp["EntityID"],
        name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text="jane"),
        authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_auth": base},
        sign_response=sp["SignResponse"], sign_assertion=sp["SignAssertion"], encrypt_assertion=bool(sp["Certificate"]),
        sign_alg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", digest_alg="http://www.w3.org/2001/04/xmlenc#sha256",
    )
    return idp.apply_binding(BINDING_HTTP_POST, str(response), sp["ACS"], relay_state, response=True)["data"]


LOGIN = """<!DOCTYPE html><title>Log in</title><form method="post" action="/sso">{hidden}
<input type="text" id="username" name="username" value=""><input type="password" id="password" name="password" value=""><button>Log in</button></form>"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/metadata":
            self.reply(200, str(entity_descriptor(config)), "application/samlmetadata+xml")
        elif url.path == "/sso":
            self.step(dict(urllib.parse.parse_qsl(url.query)), BINDING_HTTP_REDIRECT)
        else:
            self.reply(404, "not found")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = dict(urllib.parse.parse_qsl(body))
        self.step(fields, fields.get("binding", BINDING_HTTP_POST))

    def step(self, fields, binding):
        try:
            sp, request = read(fields, binding)
        except Exception as e:  # whatever is wrong, the test sees it on the page
            self.reply(403, html.escape(repr(e)))
            return
        if "username" not in fields:
            again = {**fields, "binding": binding}
            hidden = "".join(f'<input type="hidden" name="{html.escape(k)}" value="{html.escape(v)}">' for k, v in again.items())
            self.reply(200, LOGIN.format(hidden=hidden))
        elif (fields["username"], fields.get("password")) != ("jane", "secret"):
            self.reply(401, "wrong name or password")
        else:
            self.reply(200, answer(sp, request, fields.get("RelayState", "")))

    def reply(self, status, body, media_type="text/html"):
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", media_type + "; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


http.server.ThreadingHTTPServer(("127.0.0.1", settings["Port"]), Handler).serve_forever()
