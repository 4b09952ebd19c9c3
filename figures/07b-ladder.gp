# The ladder by domain: figures/data/07b-ladder.tsv, measured once, as its first lines say.
set ylabel "bits a character, held out"
set yrange [0:7]
set xrange [-0.6:7.6]
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
set key top right horizontal maxrows 1
set xtics noenhanced
if (exists("narrow")) set xtics rotate by -40
ladder = "figures/data/07b-ladder.tsv"
plot ladder using 4:xticlabels(1) every ::0::7 linetype 1 title "names", \
     ladder using 6 every ::0::7 linetype 2 title "sums", \
     ladder using 8 every ::0::7 linetype 3 title "code"
