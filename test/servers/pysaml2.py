"""A SAML identity provider on pysaml2, with one user: jane, whose password is secret. Its argument is a JSON file of settings."""
import functools
import html
import http.cookies
import http.server
import json
import secrets
import sys
import threading
import urllib.parse

import saml2.config
import saml2.entity
import saml2.server
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.samlp import STATUS_SUCCESS
from saml2.sigver import verify_redirect_signature

AES128_CBC = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
SIGNING = {"sign_alg": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "digest_alg": "http://www.w3.org/2001/04/xmlenc#sha256"}
JANE = NameID(format=NAMEID_FORMAT_PERSISTENT, text="jane")
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


def config_with(*logout_bindings):
    return saml2.config.IdPConfig().load({
        "entityid": settings["EntityID"],
        "xmlsec_binary": settings["XMLSec"],
        "key_file": settings["Key"],
        "cert_file": settings["Certificate"],
        "service": {"idp": {
            "endpoints": {
                "single_sign_on_service": [(base + "sso", BINDING_HTTP_REDIRECT), (base + "sso", BINDING_HTTP_POST)],
                "single_logout_service": [(base + "slo", binding) for binding in logout_bindings],
            },
            "name_id_format": [NAMEID_FORMAT_PERSISTENT],
            "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None, "fail_on_missing_requested": False,
                                   "name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"}},
        }},
        "metadata": {"inline": [metadata_of(sp) for sp in providers.values() if not sp["MetadataURL"]]},
        "attribute_map_dir": settings["Attributes"],
    })


config = config_with(BINDING_HTTP_REDIRECT, BINDING_HTTP_POST)
config_for_forms = config_with(BINDING_HTTP_POST)
idp = saml2.server.Server(config=config)
# pysaml2's default for the content is 3DES, which nobody should accept.
saml2.entity.pre_encryption_part = functools.partial(saml2.entity.pre_encryption_part, msg_enc=AES128_CBC)
idp.sec.encrypt_assertion = functools.partial(idp.sec.encrypt_assertion, key_type="aes-128")


made = threading.local()  # the assertion that this thread has made last
setup_assertion = idp.setup_assertion


def remember_assertion(*args, **kwargs):
    made.assertion = setup_assertion(*args, **kwargs)
    return made.assertion


idp.setup_assertion = remember_assertion


@functools.cache
def read_published_metadata():
    """Reads the metadata that providers publish, which they do once they run."""
    for sp in providers.values():
        if sp["MetadataURL"]:
            idp.metadata.load("remote", url=sp["MetadataURL"])


class Refused(Exception):
    """Why a message is not accepted."""


def check_sender(message, fields, binding):
    """Returns the provider that sent a message. Those whose certificate is known must have signed."""
    sp = providers.get(message.issuer.text.strip())
    if not sp:
        raise Refused("unknown issuer")
    if sp["Certificate"]:
        signed = message.signature is not None  # and was verified when it was parsed
        if binding == BINDING_HTTP_REDIRECT:
            signed = "Signature" in fields and verify_redirect_signature(fields, idp.sec.sec_backend, sp["Certificate"])
        if not signed:
            raise Refused("the message is not signed")
    return sp


def read(fields, binding):
    """Returns the provider that asks for a login, and its request."""
    request = idp.parse_authn_request(fields["SAMLRequest"], binding).message
    sp = check_sender(request, fields, binding)
    if request.assertion_consumer_service_url not in (None, sp["ACS"]):
        raise Refused("unknown assertion consumer service")
    return sp, request


def answer(sp, request, relay_state):
    """Returns the page that answers a request for a login, and the SessionIndex in it."""
    response = idp.create_authn_response(
        MEMBERS, in_response_to=request.id, destination=sp["ACS"], sp_entity_id=sp["EntityID"], name_id=JANE,
        authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_auth": base},
        sign_response=sp["SignResponse"], sign_assertion=sp["SignAssertion"], encrypt_assertion=bool(sp["Certificate"]), **SIGNING,
    )
    statement = made.assertion.authn_statement
    index = (statement[0] if isinstance(statement, list) else statement).session_index
    return idp.apply_binding(BINDING_HTTP_POST, str(response), sp["ACS"], relay_state, response=True)["data"], index


class Logouts:
    """Sessions, each with the one provider that its user has signed in for, and how they end: here or there."""

    def __init__(self):
        self.sessions = {}  # by cookie: pairs of a provider's entity ID and a SessionIndex
        self.asked = {}  # by the ID of a request of ours: the provider that has to answer
        self.message = None  # the last request of ours
        self.history = ""  # what has happened last

    def asked_by(self, fields, binding):
        """A provider asks for the end of sessions. The answer goes the same way."""
        request = idp.parse_logout_request(fields["SAMLRequest"], binding).message
        sp = check_sender(request, fields, binding)
        if (request.name_id.format, request.name_id.text) != (JANE.format, JANE.text):
            raise Refused(f"unknown user {request.name_id}")
        named = {(sp["EntityID"], index.text) for index in request.session_index}
        ending = [cookie for cookie, members in self.sessions.items() if named & members]
        if not ending:
            raise Refused("unknown session")
        for cookie in ending:
            del self.sessions[cookie]
        to = idp.response_args(request, [binding])["destination"]
        self.history = f"asked by {binding}, answers at {to}"
        form = binding == BINDING_HTTP_POST
        response = idp.create_logout_response(request, [binding], sign=form, **(SIGNING if form else {}))
        state = "" if sp["NoRelayState"] else fields["RelayState"]
        return idp.apply_binding(binding, str(response), to, state, response=True, sign=not form, sigalg=SIGNING["sign_alg"])

    def ask(self, cookie, options):
        """The user signs out here, which the session's provider is told. With the option all, the request names the user alone."""
        binding = BINDING_HTTP_POST if options.get("binding") == "post" else BINDING_HTTP_REDIRECT
        (entity_id, index), = self.sessions[cookie]
        signed = "unsigned" not in options
        if signed:
            del self.sessions[cookie]
        to = idp.metadata.single_logout_service(entity_id, binding, "spsso")[0]["location"]
        form = binding == BINDING_HTTP_POST
        request_id, request = idp.create_logout_request(
            to, entity_id, name_id=JANE, session_indexes=[] if "all" in options else [index], sign=form and signed,
            **(SIGNING if form and signed else {}),
        )
        self.asked[request_id] = entity_id
        self.message = idp.apply_binding(binding, str(request), to, "where it began", sign=not form and signed, sigalg=SIGNING["sign_alg"])
        return self.message

    def answered(self, fields, binding):
        """A provider answers."""
        response = idp.parse_logout_request_response(fields["SAMLResponse"], binding)
        sp = check_sender(response.response, fields, binding)
        if self.asked.pop(response.in_response_to, None) != sp["EntityID"]:
            raise Refused("nobody was asked")
        if fields.get("RelayState") != "where it began":
            raise Refused("the RelayState is another one")
        if not response.verify() or response.response.status.status_code.value != STATUS_SUCCESS:
            raise Refused("the logout has failed")
        return binding


logouts = Logouts()


LOGIN = """<!DOCTYPE html><title>Log in</title><form method="post" action="/sso">{hidden}
<input type="text" id="username" name="username" value=""><input type="password" id="password" name="password" value=""><button>Log in</button></form>"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/metadata":
            self.reply(200, str(entity_descriptor(config)), "application/samlmetadata+xml")
        elif url.path == "/metadata-for-forms":
            self.reply(200, str(entity_descriptor(config_for_forms)), "application/samlmetadata+xml")
        elif url.path == "/session":
            user = "jane" if self.cookie() in logouts.sessions else "nobody"
            self.reply(200, f"<p id=user>{user}</p><p id=history>{html.escape(logouts.history)}</p>")
        else:
            self.take(url.path, dict(urllib.parse.parse_qsl(url.query)), BINDING_HTTP_REDIRECT)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = dict(urllib.parse.parse_qsl(body))
        self.take(urllib.parse.urlsplit(self.path).path, fields, fields.get("binding", BINDING_HTTP_POST))

    def take(self, path, fields, binding):
        try:
            read_published_metadata()
            if path == "/sso":
                self.step(fields, binding)
            elif path == "/logout":
                self.send(logouts.ask(self.cookie(), fields))
            elif path == "/again":
                self.send(logouts.message)
            elif path == "/slo" and "SAMLRequest" in fields:
                self.send(logouts.asked_by(fields, binding))
            elif path == "/slo":
                self.reply(200, f"<p id=logged-out>logged out, as answered by {logouts.answered(fields, binding)}</p>")
            else:
                self.reply(404, "not found")
        except Exception as e:  # whatever is wrong, the test sees it on the page
            self.reply(403, f"<p id=refused>{html.escape(repr(e))}</p>")

    def cookie(self):
        cookies = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        return cookies["idp"].value if "idp" in cookies else ""

    def step(self, fields, binding):
        sp, request = read(fields, binding)
        if "username" not in fields:
            again = {**fields, "binding": binding}
            hidden = "".join(f'<input type="hidden" name="{html.escape(k)}" value="{html.escape(v)}">' for k, v in again.items())
            self.reply(200, LOGIN.format(hidden=hidden))
        elif (fields["username"], fields.get("password")) != ("jane", "secret"):
            self.reply(401, "wrong name or password")
        else:
            page, index = answer(sp, request, fields.get("RelayState", ""))
            cookie = secrets.token_hex()
            logouts.sessions[cookie] = {(sp["EntityID"], index)}
            self.reply(200, page, headers=[("Set-Cookie", f"idp={cookie}; Path=/; HttpOnly; SameSite=Lax")])

    def send(self, message):
        """Sends the browser on with a message."""
        self.reply(message["status"], message["data"] or "", headers=message["headers"])

    def reply(self, status, body, media_type="text/html", headers=()):
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers:
            if name != "Content-type":
                self.send_header(name, value)
        self.send_header("Content-Type", media_type + "; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


http.server.ThreadingHTTPServer(("127.0.0.1", settings["Port"]), Handler).serve_forever()
