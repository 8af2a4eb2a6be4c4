# SPDX-License-Identifier: BSD-2-Clause
#
# The reference: each header's comments as text, its declarations as code, and an index of names.
# awk -v version=V -f packaging/reference.awk HEADER... >reference.html

function escape(s)
{
    gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s)
    return s
}

# What a line at the left edge declares: a function, a structure, an enumeration, a macro, a type.
function name_of(s,    t)
{
    if (s ~ /^#define [A-Za-z_0-9]+/) { split(s, t, /[ (]/); return t[2] ~ /_H$/ ? "" : t[2] }
    if (s ~ /^(struct|enum) [a-z_0-9]+ \{/) { split(s, t, " "); return t[2] }
    if (s ~ /^typedef .*\(\*[a-z_]+\)/) { sub(/^[^(]*\(\*/, "", s); sub(/\).*/, "", s); return s }
    if (s ~ /^typedef .*;/) { sub(/;.*/, "", s); sub(/.*[ *]/, "", s); return s }
    if (s ~ /^extern .*;/) { sub(/(\[.*)?;.*/, "", s); sub(/.*[ *]/, "", s); return s }
    if (s ~ /^(_Noreturn |static inline )?[a-z_][A-Za-z_0-9 ]*[ *]+[a-z_0-9]+\(/) {
        sub(/\(.*/, "", s); sub(/.*[ *]/, "", s)
        return s
    }
    return ""
}

function flush_code()
{
    sub(/\n+$/, "", code)
    if (code != "" && code !~ /^[ \n]*$/) body = body "<pre class=code>" code "</pre>\n"
    code = ""
}

# A comment's lines: paragraphs, and what is set in (lists, tables) as it stands.
function flush_text(    n, line, i, out, open)
{
    n = split(text, line, "\n")
    out = ""; open = ""
    for (i = 1; i <= n; i++) {
        sub(/[ \t]+$/, "", line[i])
        if (line[i] == "") {
            if (open != "") out = out "</" open ">\n"
            open = ""
        } else {
            if (line[i] ~ /^  / && open == "p") { out = out "</p>\n"; open = "" }
            if (line[i] !~ /^  / && open == "pre") { out = out "</pre>\n"; open = "" }
            if (open == "") { open = line[i] ~ /^  / ? "pre" : "p"; out = out "<" open ">" }
            out = out escape(line[i]) "\n"
        }
    }
    if (open != "") out = out "</" open ">\n"
    if (out != "") body = body out
    text = ""
}

function add_text(s)
{
    text = text s "\n"
}

FNR == 1 {
    flush_code(); flush_text()
    file = FILENAME
    sub(/.*\//, "tenon/", file)
    files[++nfiles] = file
    body = body "<h2 id=\"" file "\">&lt;" file "&gt;</h2>\n"
    inside = 0
}
/SPDX-License-Identifier/ || /^#(ifndef|endif|define) *[A-Z_]*_H?$/ || /^#endif/ || /^#include/ { next }
inside {
    s = $0
    done = s ~ /\*\//
    sub(/ *\*\/.*/, "", s)
    if (s ~ /^ \*/) sub(/^ \* ?/, "", s); else sub(/^   ?/, "", s)
    add_text(s)
    if (done) { inside = 0; flush_text() }
    next
}
/^\/\* ---- / {
    flush_code()
    s = $0
    sub(/^\/\* -* */, "", s); sub(/ *-* *\*\/.*/, "", s)
    body = body "<h3>" escape(s) "</h3>\n"
    next
}
/^\/\*/ {
    flush_code()
    s = $0
    sub(/^\/\* ?/, "", s)
    if (s ~ /\*\//) { sub(/ *\*\/.*/, "", s); add_text(s); flush_text() }
    else { inside = 1; if (s != "") add_text(s) }
    next
}
/^$/ { if (depth == 0) flush_code(); else code = code "\n"; next }
{
    name = depth == 0 ? name_of($0) : ""
    line = escape($0)
    if (name != "" && !(name in at)) {
        at[name] = file
        names[++nnames] = name
        # The first place where it stands as a word.
        match(line, "(^|[ *(])" name "($|[ ();[])")
        p = RSTART + (substr(line, RSTART, 1) ~ /[ *(]/)
        line = substr(line, 1, p - 1) "<b id=\"" name "\">" name "</b>" substr(line, p + length(name))
    }
    code = code line "\n"
    s = $0
    depth += gsub(/\{/, "{", s) - gsub(/\}/, "}", s)
    if (depth == 0 && /^}/) flush_code()
}
END {
    flush_code(); flush_text()
    for (i = 2; i <= nnames; i++) # insertion sort: a few hundred names
        for (j = i; j > 1 && tolower(names[j - 1]) > tolower(names[j]); j--) {
            t = names[j]; names[j] = names[j - 1]; names[j - 1] = t
        }
    print "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
    print "<meta name=viewport content=\"width=device-width\"><title>libtenon " version "</title>\n<style>"
    print "body { max-width: 56em; margin: 2em auto; padding: 0 1em; font: 16px/1.5 sans-serif; }"
    print "pre { font: 14px/1.4 monospace; overflow-x: auto; margin: .4em 0; }"
    print "pre.code { background: #8881; border-left: 3px solid #8888; padding: .5em .8em; margin-bottom: 1.4em; }"
    print "nav { columns: 14em; font: 14px/1.5 monospace; } h2 { border-bottom: 1px solid #8888; margin-top: 2.5em; }"
    print "p { margin: .4em 0; } :root { color-scheme: light dark; } a { color: inherit; }"
    print "</style></head><body>\n<h1>libtenon " version ": reference</h1>"
    print "<p>Made from the headers, which are the contracts. Headers:"
    for (i = 1; i <= nfiles; i++) printf "<a href=\"#%s\">%s</a>%s\n", files[i], files[i], i < nfiles ? "," : ".</p>"
    print "<h2>Names</h2>\n<nav>"
    for (i = 1; i <= nnames; i++) printf "<a href=\"#%s\">%s</a><br>\n", names[i], names[i]
    print "</nav>"
    printf "%s", body
    print "</body></html>"
}
