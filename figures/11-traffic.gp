# The traffic matrix of four ranks, as the text is routed and with expert 0 pushed.
# data: build/chapter11 --data traffic
shade(rows) = (int(255 - 255 * (rows < 145 ? rows / 145.0 : 1)) << 24) + 0x2a83c4
set multiplot layout 1,2 margins char 6,char 1,char 3.4,char 2.5 spacing char 5
set xrange [-0.6:3.6]
set yrange [3.6:-0.6]
set size ratio 1
unset grid
set border 0
set xtics 1 scale 0
set ytics 1 scale 0
set xlabel "to rank"
set ylabel "from rank"
set title "as routed"
plot data using 2:1:(0.48):(0.48):(shade($3)) with boxxyerror linecolor rgb variable fillstyle solid noborder
unset ylabel
set title "expert 0 hot"
plot data using 2:1:(0.48):(0.48):(shade($4)) with boxxyerror linecolor rgb variable fillstyle solid noborder
unset multiplot
