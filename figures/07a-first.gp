# The first steps of two MLPs; one's last product is a hundred times as large.
# data: build/chapter7 --data first --activation tanh
set xlabel "step"
set ylabel "bits a character, of the step's batch"
set yrange [0:22]
set xrange [0:200]
set key top right
plot data using 1:3 with lines linetype 2 title "last product times 10", \
     data using 1:2 with lines linetype 1 title "times 0.1", \
     log(51)/log(2) with lines linetype 8 dashtype 2 title "log V"
