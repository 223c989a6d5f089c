// Node.js 18 has Web Cryptography, but not as the global that the client uses. Import this first.
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto;
