# Twelve tokens on their way to the two experts that each has chosen; the
# heavier line is the larger gate. With a title, the cover of the EPUB.
# data: build/chapter3 --experts 8 --tokens 12
way = "< awk '/^The routing table/ { on = 1; next } on && NF == 0 { exit } on { y = 1 - n++ / 11; " \
    . "for (k = 1; k < 3; k++) { e = $(2 * k); for (i = 0; i < 41; i++) { t = i / 40; s = t * t * (3 - 2 * t); " \
    . "printf \"%g\\t%g\\t%d\\t%d\\n\", t, y + (1 - (e + 0.5) / 8 - y) * s, e, k } print \"\" } }' " . data
tokens = "< awk '/^The routing table/ { on = 1; next } on && NF == 0 { exit } on { " \
    . "print 1 - n++ / 11 \"\t\" (length($1) > 1 ? \"¶\" : $1) }' " . data
unset border
unset tics
unset grid
set xrange [-0.08:1.24]
set yrange [-0.06:1.06]
if (exists("cover")) {
    set object 1 rectangle from screen 0,0 to screen 1,1 fillcolor rgb "#fdfcf9" fillstyle solid noborder behind
    set label 1 "Where Tokens Go" at screen 0.1,0.88 font "TeX Gyre Pagella,54" textcolor rgb "#22252b"
    set label 2 "Mixture-of-Experts routing and load balancing,\nas a literate program in C" \
        at screen 0.1,0.81 font "TeX Gyre Pagella,22" textcolor rgb "#5d636e"
    set lmargin at screen 0.1
    set rmargin at screen 0.94
    set tmargin at screen 0.68
    set bmargin at screen 0.08
}
plot for [e = 0:7] for [k = 1:2] way using 1:($3 == e && $4 == k ? $2 : NaN) with lines linetype e + 1 linewidth 6 - 2.2 * k, \
     tokens using (-0.02):1:2 with labels noenhanced right, \
     for [e = 0:7] "+" using (1.02):(1 - (e + 0.5) / 8):(e < 0 ? "" : sprintf("expert %d", e)) every ::0::0 \
         with labels left textcolor linetype e + 1
