package saml

// TrimIndent is exported for tests.
var TrimIndent = trimIndent
