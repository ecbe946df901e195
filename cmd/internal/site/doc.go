// Package site is the web site that quic-server shows: the files below a folder, pages for folders that look good on a phone, and a start
// page that tells over what the visitor came. It is an http.Handler, and knows nothing of QUIC: what there is to tell of a connection
// the program gives it (Options.Describe).
//
// Files are served by http.ServeContent, so that ranges and conditional requests (RFC 9110, sections 13 and 14) are net/http's. Where a
// client takes it, a file's precompressed twin (name.br, name.zst, name.gz) goes in its place, if it is not older than the file.
// Nothing outside the folder is ever served, nor what is hidden (a name that begins with a dot), but for /.well-known/ (RFC 8615).
package site
