# Two heads of the first block on one sum: figures/data/07b-attention.tsv, measured once.
set size ratio -1
set xrange [-0.5:8.5]
set yrange [8.5:-0.5]
set cbrange [0:1]
set palette defined (0 "#f3f1ec", 1 "#2a83c4")
unset grid
set border 0
set tics scale 0
unset colorbox
set xlabel "looks at"
array text[9] = ["1", "2", "+", "0", "7", "=", "9", "1", "0"]
set for [i = 1:9] xtics add (text[i] i - 1)
set for [i = 1:9] ytics add (text[i] i - 1)
heads = "figures/data/07b-attention.tsv"
set style fill solid 1 noborder
set multiplot layout 1,2
do for [head = 0:1] {
    set title sprintf("head %d", head)
    set ylabel head ? " " : "token"
    plot heads using ($1 == head && $4 > 0.005 ? $3 : NaN):2:(0.48):(0.48):4 \
         with boxxyerror palette
}
unset multiplot
