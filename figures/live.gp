# A figure that the reader moves (appendix A), as it stands at first: its shapes, drawn by
#     plot @shapes
set macros
# Lines of a kind that fit; one that is out of sight keeps gnuplot from missing them.
of(what, fit) = "< awk -F '\t' '$1 == \"" . what . "\" && " . fit . "; END { print \"x\t-99\t-99\t0\t0\t0\t0\t\" }' " . data
# A polyline is a block of points, each with its color.
lines(dashed) = "< awk -F '\t' '$1 == \"line\" && $3 == " . dashed \
    . " { for (i = 4; i < NF; i += 2) print $i \"\t\" $(i + 1) \"\t\" $2; print \"\" } END { print \"-99\t-99\t0\" }' " . data
# A strip is cells without a border, in a box.
cells = "< awk -F '\t' '$1 == \"strip\" { n = NF - 6; for (i = 0; i < n; i++) print \"x\t\" $2 + i * $4 / n \"\t\" $3 \"\t\" $4 / n \"\t\" $5 \"\t\" $6 \"\t\" $(7 + i) } " \
    . "END { print \"x\t-99\t-99\t0\t0\t0\t0\t\" }' " . data
array C[9] = [0x888888, 0x2a83c4, 0xe08a00, 0x139c78, 0xcc6f9f, 0x8f7ae0, 0xd5532a, 0x5fb0d9, 0x8d8574]
color(n) = C[int(n) + 1]
tone(n, t) = color(n) + (int(255 - 2.55 * t) << 24)
size(n) = real(system("awk '$1 == \"size\" { print $" . n . " }' " . data))
set xrange [0:size(2)]
set yrange [size(3):0]
set size ratio -1
unset border
unset tics
unset grid
set lmargin 0
set rmargin 0
set tmargin 0
set bmargin 0
box = "($2 + $4 / 2):($3 + $5 / 2):($4 / 2):($5 / 2)"
shapes = "of('box', '$7 > 0') using @box:(tone($6, $7)) with boxxyerror linecolor rgbcolor variable fillstyle solid 1 noborder, " \
    . "cells using @box:(tone($6, $7)) with boxxyerror linecolor rgbcolor variable fillstyle solid 1 noborder, " \
    . "of('strip', 1) using @box:(color($6)) with boxxyerror linewidth 1 linecolor rgbcolor variable fillstyle empty border, " \
    . "of('box', '$7 != -1') using @box:(color($6)) with boxxyerror linewidth 1 linecolor rgbcolor variable fillstyle empty border, " \
    . "of('box', '$7 == -1') using @box:(color($6)) with boxxyerror linewidth 1 dashtype 3 linecolor rgbcolor variable fillstyle empty border, " \
    . "of('box', '$7 == -2') using 2:3:4:5:(tone($6, 60)) with vectors nohead linewidth 1 linecolor rgbcolor variable, " \
    . "of('box', '$7 == -2') using 2:($3 + $5):4:(-$5):(tone($6, 60)) with vectors nohead linewidth 1 linecolor rgbcolor variable, " \
    . "lines(0) using 1:2:(color($3)) with lines linecolor rgbcolor variable linewidth 2, " \
    . "lines(1) using 1:2:(color($3)) with lines linecolor rgbcolor variable linewidth 1 dashtype 3, " \
    . "of('dot', 1) using 2:3 with points pointtype 7 pointsize 1 linecolor rgb 'black', " \
    . "of('box', 1) using ($2 + $4 / 2):($3 + $5 / 2):8 with labels noenhanced, " \
    . "of('text', '$4 < 0') using 2:3:5 with labels left noenhanced, " \
    . "of('text', '$4 == 0') using 2:3:5 with labels center noenhanced, " \
    . "of('text', '$4 > 0') using 2:3:5 with labels right noenhanced"
