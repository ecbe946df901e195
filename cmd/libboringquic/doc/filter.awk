# Makes of a header of ours what doxygen reads: its comments are plain ones, which are marked here, and its paragraphs become groups.
#   - A comment with an empty line behind it begins a section, whose title is what stands before its first full stop or colon; the first one of all is that of the file.
#   - Any other stands for what follows it, up to the next empty line.
#   - What stands behind code on its line belongs to that.
{ line[NR] = $0 }

END {
  for (at = 1; at <= NR; at++) {
    if (line[at] ~ /^(#ifndef BORINGQUIC|#define BORINGQUIC|#pragma|#define BQUIC_API|#if defined\(__GNUC__\)|#ifdef __cplusplus|extern "C"|#else|#endif)/ ||
        (line[at] == "}" && line[at + 1] == "#endif")) {
      print ""
    } else if (line[at] ~ /^ *\/\//) {
      comment()
    } else {
      code(line[at])
    }
    if (grouped && line[at + 1] == "") {
      print "///@}"
      grouped = 0
    }
  }
  if (section) print "/** @} */"
}

# comment prints the comment that begins at line at, and moves at to its end.
function comment(  last, text, dot, i) {
  for (last = at; line[last + 1] ~ /^ *\/\//; last++);
  if (line[last + 1] == "" || line[last + 1] ~ /^#ifndef/) {
    text = ""
    for (i = at; i <= last; i++) text = text " " bare(line[i])
    if (!named) {
      named = 1
      print "/** @file"
      for (i = at; i <= last; i++) print listed(bare(line[i]))
      print "*/"
    } else {
      sub(/^ /, "", text)
      dot = match(text, /[.:]( |$)/)
      if (section) print "/** @} */"
      section++
      print "/** @defgroup " FILE "_" section " " (FILE == "quiche" ? "quiche.h: " : "") substr(text, 1, dot - 1)
      print marked(substr(text, dot + 1))
      print "@{ */"
    }
  } else {
    if (many(last + 1)) {
      print "///@{"
      grouped = 1
    }
    for (i = at; i <= last; i++) print "/// " marked(bare(line[i]))
  }
  at = last
}

# many tells whether several functions are declared from line i to the next empty one.
function many(i,  n) {
  if (grouped || line[i] ~ /^(#| )/ || line[i] ~ /{/) return 0
  for (; line[i] != "" && i <= NR; i++) if (line[i] ~ /;/) n++
  return n > 1
}

# bare returns what a line's comment says.
function bare(text) {
  sub(/^ *\/\/ ?/, "", text)
  return text
}

# listed is a line of the file's comment, in which a word and at least two blanks begin what is said of that.
function listed(text,  word) {
  if (match(text, /^  [A-Z][a-z]+ +/)) {
    word = substr(text, 3)
    sub(/ .*/, "", word)
    return "- **" word "** " marked(substr(text, RLENGTH + 1))
  }
  sub(/^ +/, "  ", text)
  return marked(text)
}

# code prints a line of code. What stands behind it may go on in the lines below.
function code(text,  where) {
  sub(/BQUIC_API /, "", text)
  where = index(text, " // ")
  if (where == 0) {
    print text
    return
  }
  print substr(text, 1, where) "///< " marked(substr(text, where + 4))
  while (line[at + 1] ~ /^          *\/\//) print "///< " marked(bare(line[++at]))
}

# marked returns a text in which what means something to doxygen does not, and our names are links.
function marked(text,  out, name, after) {
  gsub(/[<>@*\\]/, "\\\\&", text)
  out = ""
  while (match(text, /(bquic|BQUIC|quiche|QUICHE)_[A-Za-z0-9_]*[A-Za-z0-9]/)) {
    name = substr(text, RSTART, RLENGTH)
    after = substr(text, RSTART + RLENGTH, 2)
    out = out substr(text, 1, RSTART - 1) (after ~ /^(_|\\\*|\.h|\.m|-)/ || substr(text, RSTART - 1, 1) ~ /[A-Za-z_"\/-]/ ? "" : "#") name
    text = substr(text, RSTART + RLENGTH)
  }
  return out text
}
