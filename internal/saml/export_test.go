package saml

// TrimIndent is trimIndent, for tests.
var TrimIndent = trimIndent
