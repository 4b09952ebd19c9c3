# One look for every gnuplot figure; loaded before each figures/NN-name.gp.
# Linetype N is the color of expert N, in every figure of the book. The eight
# can be told apart by the color-blind, on white and on a dark page.
set linetype 1 linecolor rgb "#2a83c4" linewidth 2 pointtype 7
set linetype 2 linecolor rgb "#e08a00" linewidth 2 pointtype 5
set linetype 3 linecolor rgb "#139c78" linewidth 2 pointtype 9
set linetype 4 linecolor rgb "#cc6f9f" linewidth 2 pointtype 11
set linetype 5 linecolor rgb "#8f7ae0" linewidth 2 pointtype 13
set linetype 6 linecolor rgb "#d5532a" linewidth 2 pointtype 4
set linetype 7 linecolor rgb "#5fb0d9" linewidth 2 pointtype 6
set linetype 8 linecolor rgb "#8d8574" linewidth 2 pointtype 8
set linetype cycle 8

set datafile separator "\t"
set datafile commentschars "#"
set border 3 linecolor rgb "#888888" linewidth 1
set tics nomirror out scale 0.5
set grid ytics linetype 0 linecolor rgb "#888888" linewidth 0.5
set key noautotitle samplen 2 spacing 1.2
set style fill solid 0.85 noborder
set boxwidth 0.8 relative
