// Node.js 18 has Web Cryptography, but not as a global, where the client looks for it. Imported first.
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto;
